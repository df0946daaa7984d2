"""`relais snapshot sign`: on the folder, aside on another machine, and signatures merged."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from service.cli.exits import Exit
from tests.unit.cli.ceremony.desk import Desk


@pytest.fixture
def folder(desk: Desk) -> Path:
    """Snapshot 2, unsigned."""
    return desk.built(2)


def test_signers_on_two_machines_bring_back_only_their_signatures(desk: Desk, folder: Path):
    before = (folder / "manifest.json").read_bytes()
    for name in ("anne", "chloe"):
        copy = Path(shutil.copytree(folder, desk.root / f"at-{name}"))
        words = ("--key", f"@keys/{name}.jwk", "--signature-out", f"@{name}.sig.json")
        status, out, err = desk.run("snapshot", "sign", str(copy), *words, home="nowhere")
        assert status == Exit.DONE
        assert (
            f"snapshot 2 signed with {desk.kid(name)}, in {desk.root}/{name}.sig.json; the folder is unchanged" in out
        )
        assert err == "relais: warning: whether this signature counts is not known here\n"
        assert (copy / "manifest.json").read_bytes() == before
    assert "no signature" in desk.refused("snapshot", "load", str(folder))
    said = desk.done("snapshot", "sign", str(folder), "--merge", "@anne.sig.json", "@chloe.sig.json")
    assert "2 of 2 needed: anne, chloe" in said
    desk.done("snapshot", "load", str(folder))
    assert desk.active() == [1, 2]


def test_both_machines_and_the_server_see_one_digest(desk: Desk, folder: Path):
    words = ("--key", "@keys/anne.jwk", "--signature-out", "@anne.sig.json")
    signed = desk.json("snapshot", "sign", str(folder), *words, home="nowhere")
    inspected = desk.json("snapshot", "inspect", str(folder))
    merged = desk.json("snapshot", "sign", str(folder), "--merge", "@anne.sig.json")
    assert signed["digest"] == inspected["digest"] == merged["digest"]
    assert (signed["data_read"], signed["counts"], signed["threshold"]) == (True, False, None)
    assert (merged["kid"], merged["counts"], merged["signers"], merged["threshold"]) == (None, None, ["anne"], 2)


def test_a_machine_without_room_for_the_data_signs_the_manifest_and_says_so(desk: Desk, folder: Path):
    alone = desk.root / "alone"
    alone.mkdir()
    shutil.copy(folder / "manifest.json", alone)
    words = ("snapshot", "sign", str(alone), "--key", "@keys/anne.jwk")
    assert "records.lmdb" in desk.refused(*words)  # on the folder itself, the data is read
    status, _, err = desk.run(*words, "--signature-out", "@anne.sig.json", home="nowhere")
    assert (status, "the folder holds manifest.json alone" in err) == (Exit.DONE, True)
    assert "1 of 2 needed: anne" in desk.done("snapshot", "sign", str(folder), "--merge", "@anne.sig.json")


def test_a_signature_that_came_twice_is_no_error(desk: Desk, folder: Path):
    words = ("snapshot", "sign", str(folder), "--key", "@keys/anne.jwk")
    desk.done(*words, "--signature-out", "@anne.sig.json")
    desk.done(*words)
    once = (folder / "manifest.json").read_bytes()
    assert "1 of 2 needed: anne" in desk.done("snapshot", "sign", str(folder), "--merge", *["@anne.sig.json"] * 2)
    assert (folder / "manifest.json").read_bytes() == once


def test_a_signature_of_another_snapshot_is_refused_by_the_name_of_its_file(desk: Desk, folder: Path):
    other = desk.built(3)
    desk.done("snapshot", "sign", str(other), "--key", "@keys/anne.jwk", "--signature-out", "@anne.sig.json")
    before = (folder / "manifest.json").read_bytes()
    said = desk.refused("snapshot", "sign", str(folder), "--merge", "@anne.sig.json")
    assert f"{desk.root}/anne.sig.json: made for another payload" in said
    assert (folder / "manifest.json").read_bytes() == before


def test_a_false_signature_is_refused_where_its_key_is_known(desk: Desk, folder: Path):
    desk.done("snapshot", "sign", str(folder), "--key", "@keys/anne.jwk", "--signature-out", "@anne.sig.json")
    path = desk.root / "anne.sig.json"
    document = json.loads(path.read_bytes())
    document["signatures"][0]["signature"] = "A" * 86
    path.write_text(json.dumps(document))
    before = (folder / "manifest.json").read_bytes()
    words = ("snapshot", "sign", str(folder), "--merge", str(path))
    assert f"the signature by key {desk.kid('anne')} does not match" in desk.refused(*words)
    assert (folder / "manifest.json").read_bytes() == before


@pytest.mark.parametrize("content", ["", "{}", '{"payload":"e30","signatures":[]}'])
def test_a_file_without_signatures_is_refused(desk: Desk, folder: Path, content: str):
    (desk.root / "x.json").write_text(content)
    assert "x.json" in desk.refused("snapshot", "sign", str(folder), "--merge", "@x.json")


def test_an_endless_file_is_not_read(desk: Desk, folder: Path):
    with (desk.root / "x.json").open("wb") as file:
        file.truncate(1024**3)
    assert "at most 1048576 bytes" in desk.refused("snapshot", "sign", str(folder), "--merge", "@x.json")


def test_a_signature_file_is_not_overwritten(desk: Desk, folder: Path):
    (desk.root / "anne.sig.json").write_text("precious")
    words = ("--key", "@keys/anne.jwk", "--signature-out", "@anne.sig.json")
    assert "exists" in desk.refused("snapshot", "sign", str(folder), *words)
    assert (desk.root / "anne.sig.json").read_text() == "precious"


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--key", "@keys/anne.jwk", "--merge", "@s2/manifest.json"),
        ("--signature-out", "@x.json"),
        ("--merge", "@s2/manifest.json", "--signature-out", "@x.json"),
    ],
)
def test_one_thing_at_a_time(desk: Desk, folder: Path, words: tuple[str, ...]):
    assert "give --key FILE to sign" in desk.refused("snapshot", "sign", str(folder), *words)
    assert not (desk.root / "x.json").exists()
