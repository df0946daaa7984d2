"""`relais trust`: the first ceremony, rotations, and what is refused, each with what it leaves."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from pathlib import Path

import pytest
from msgspec.structs import replace

from service.cli.exits import Exit
from service.cli.rotation import serving
from service.control.state import Activation, State
from service.snapshot.catalog import Catalog
from service.snapshot.manifest import BaseRef
from tests.unit.cli.ceremony.desk import Desk, first, payload
from tests.unit.snapshot.snapshot_maker import NOW, SnapshotMaker


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


# The first version


@pytest.fixture
def empty(desk: Desk) -> Desk:
    """A home that has no trust file yet."""
    (desk.home / "trust.json").unlink()
    return desk


def test_root_people_sign_the_first_version_one_after_the_other_without_a_home(empty: Desk):
    said = empty.done("trust", "new", *first(), "--out", "@t.json", home="nowhere")
    assert "root people of version 1: 0 of 2 needed: none" in said
    assert "signatures are missing: relais trust sign" in said
    said = empty.done("trust", "sign", "@t.json", "--key", "@keys/anne-root.jwk", home="nowhere")
    assert "root: 2 of 3" in said
    assert f"  anne: {empty.kid('anne-root')}" in said
    assert "1 of 2 needed: anne" in said
    assert "needs 2 of its own root signers, and has anne" in empty.refused("trust", "rotate", "@t.json")
    said = empty.done("trust", "sign", "@t.json", "--key", "@keys/chloe-root.jwk", home="nowhere")
    assert f"complete: relais trust rotate {empty.root}/t.json" in said
    assert "trust version 1 in" in empty.done("trust", "rotate", "@t.json")
    assert (empty.home / "trust.json").read_bytes() == (empty.root / "t.json").read_bytes()


def test_root_people_sign_copies_of_the_first_version_and_the_signatures_merge(empty: Desk):
    empty.done("trust", "new", *first(), "--out", "@t.json")
    for name in ("anne", "bruno"):
        shutil.copy(empty.root / "t.json", empty.root / f"{name}.json")
        empty.done("trust", "sign", f"@{name}.json", "--key", f"@keys/{name}-root.jwk", home="nowhere")
    merged = empty.json("trust", "sign", "@t.json", "--merge", "@anne.json", "@bruno.json", "@anne.json")
    assert merged["complete"] is True
    assert merged["signed"] == [{"version": 1, "threshold": 2, "signed": ["anne", "bruno"], "reached": True}]
    empty.done("trust", "rotate", "@t.json")
    assert empty.json("trust", "show")["valid"] is True


def test_without_out_the_first_version_must_be_whole(empty: Desk):
    assert "needs 2 of its own root signers" in empty.refused("trust", "new", *first(), "--sign", "@keys/anne-root.jwk")
    assert not (empty.home / "trust.json").exists()


def test_a_draft_that_breaks_a_rule_is_not_begun(empty: Desk):
    words = [word if word != "2" else "4" for word in first()]
    assert "between 2 and its 3 people" in empty.refused("trust", "new", *words, "--out", "@t.json")
    assert not (empty.root / "t.json").exists()


def test_nothing_is_overwritten(desk: Desk):
    (desk.root / "t.json").write_text("precious")
    assert "exists" in desk.refused("trust", "new", *first(), "--out", "@t.json")
    assert "exists" in desk.refused("trust", "rotate", "--out", "@t.json")
    assert (desk.root / "t.json").read_text() == "precious"


# The next version


def test_a_signer_is_exchanged_in_two_ceremonies_and_the_chain_stays(desk: Desk):
    first_bytes = (desk.home / "trust.json").read_bytes()
    said = desk.made("--add-snapshot", "dora=@keys/dora.pub.jwk", "--remove-snapshot", "chloe")
    assert f"  - snapshot chloe {desk.kid('chloe')}" in said
    assert f"  + snapshot dora {desk.kid('dora')}" in said
    assert "root people of version 1: 0 of 2 needed: none" in said
    assert "root people of version 2: 0 of 2 needed: none" in said
    (desk.root / "next.json").rename(desk.root / "t2.json")
    shutil.copy(desk.home / "trust.json", desk.root / "t1.json")
    for name in ("anne", "bruno"):
        words = ("--key", f"@keys/{name}-root.jwk", "--from", "@t1.json")
        said = desk.done("trust", "sign", "@t2.json", *words, home="nowhere")
        assert f"  + snapshot dora {desk.kid('dora')}" in said
    assert "complete" in said
    said = desk.done("trust", "rotate", "@t2.json")
    assert "trust version 2 in" in said
    assert "former versions kept: trust.1.json" in said
    assert (desk.home / "trust.1.json").read_bytes() == first_bytes
    shown = desk.json("trust", "show")
    assert (shown["version"], shown["former"], shown["valid"]) == (2, [1], True)
    desk.loaded(2, "anne", "dora")
    assert desk.active() == [1, 2]


def test_installing_the_same_version_again_is_no_change(desk: Desk):
    again = desk.signed()
    desk.done("trust", "rotate", str(again))
    before = desk.state()
    assert "in place already: no change" in desk.done("trust", "rotate", str(again))
    assert desk.json("trust", "rotate", str(again)) == {"version": 2, "installed": [], "falling": []}
    assert desk.state() == before


def test_a_next_version_without_a_change_renews_the_end(desk: Desk):
    before = desk.json("trust", "show")
    desk.rotated("--expires-days", "700")
    after = desk.json("trust", "show")
    assert before["roles"] == after["roles"]
    assert (before["days_left"], after["days_left"]) == (364, 699)
    assert after["changes"] == [f"expires {before['expires_at'][:10]} -> {after['expires_at'][:10]}"]


def test_a_node_that_slept_takes_several_versions_at_once(desk: Desk):
    second = Path(shutil.copy(desk.signed(), desk.root / "t2.json"))
    (desk.root / "next.json").unlink()
    keys = ("--sign", "@keys/anne-root.jwk", "@keys/chloe-root.jwk")
    desk.done("trust", "rotate", "--from", str(second), "--out", "@t3.json", "--root-threshold", "3", *keys)
    desk.done("trust", "sign", "@t3.json", "--key", "@keys/bruno-root.jwk", "--from", str(second))
    assert "expected trust version 2, found 3" in desk.refused("trust", "rotate", "@t3.json")
    assert desk.json("trust", "rotate", "@t2.json", "@t3.json")["installed"] == [2, 3]
    assert desk.json("trust", "show")["former"] == [2, 1]


@pytest.mark.parametrize("which", ["thumbprint", "file"])
def test_one_key_of_a_person_is_revoked(desk: Desk, which: str):
    desk.rotated("--add-snapshot", "anne=@keys/anne-new.pub.jwk")
    desk.loaded(2, "anne-new", "chloe")
    key = desk.kid("anne") if which == "thumbprint" else "@keys/anne.pub.jwk"
    desk.rotated("--remove-snapshot", f"anne={key}")
    anne = desk.json("trust", "show")["roles"]["snapshot"]["signers"][0]
    assert anne == {"name": "anne", "keys": [desk.kid("anne-new")]}


def test_a_persons_only_key_is_exchanged_in_one_step(desk: Desk):
    desk.rotated("--remove-root", f"anne={desk.kid('anne-root')}", "--add-root", "anne=@keys/anne-new-root.pub.jwk",
                 by=("bruno", "chloe"))  # fmt: skip
    assert desk.json("trust", "show")["roles"]["root"]["signers"][0] == {
        "name": "anne",
        "keys": [desk.kid("anne-new-root")],
    }


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--remove-snapshot", "dora"), "nobody of the role is called dora: it has anne, bruno, chloe"),
        (("--remove-snapshot", "anne=nothing"), "neither the thumbprint of a key of the role nor a file"),
        (("--remove-snapshot", "anne=@keys/dora.pub.jwk"), "anne has no key"),
        (("--remove-snapshot", "anne=@keys/anne.pub.jwk"), "anne of the snapshot role has no key"),
        (("--add-snapshot", "dora"), "NAME=FILE"),
        (("--add-snapshot", "anne=@keys/anne.pub.jwk"), "already"),
        (("--add-snapshot", "dora=@keys/anne.pub.jwk"), "one key stands under two names"),
        (("--remove-root", "anne", "bruno"), "the root threshold must lie between 2 and its 1 people"),
        (("--root-threshold", "1"), "between 2 and its 3 people, not 1"),
        (("--expires-days", "0"), "between 1 and 3650 days"),
    ],
)
def test_a_change_that_cannot_be_is_said_before_anybody_signs(desk: Desk, words: tuple[str, ...], said: str):
    assert said in desk.refused("trust", "rotate", "--out", "@next.json", *words)
    assert not (desk.root / "next.json").exists()


@pytest.mark.parametrize(
    "words", [(), ("--remove-snapshot", "chloe"), ("@t.json", "--out", "@u.json"), ("@t.json", "--root-threshold", "0")]
)
def test_a_draft_and_an_installation_are_not_mixed(desk: Desk, words: tuple[str, ...]):
    assert "give --out FILE with the changes" in desk.refused("trust", "rotate", *words)


# What serves


def test_a_rotation_that_would_take_the_signers_of_the_active_snapshot_is_refused(desk: Desk):
    attack = desk.signed("--remove-snapshot", "bruno")
    said = desk.refused("trust", "rotate", str(attack))
    assert "version 2 would leave snapshot 1, which serves, with 1 of 2 signers (anne)" in said
    assert "Would lack signers: 1" in said


def test_a_higher_threshold_takes_signers_too(desk: Desk):
    attack = desk.signed("--snapshot-threshold", "3")
    assert "with 2 of 3 signers (anne, bruno)" in desk.refused("trust", "rotate", str(attack))


def test_snapshots_that_lack_signers_and_do_not_serve_are_named(desk: Desk):
    desk.loaded(2, "anne", "chloe")
    status, out, err = desk.run("trust", "rotate", str(desk.signed("--remove-snapshot", "bruno")))
    assert (status, "trust version 2 in" in out) == (Exit.DONE, True)
    assert "held snapshots 1 lack signers under version 2: none of them can be activated" in err
    assert "2 signatures and threshold" in desk.run("snapshot", "activate", "1")[2]


def test_a_delta_rests_on_its_base(tmp_path: Path):
    maker = SnapshotMaker(tmp_path)
    maker.make("7", sequence=7, kind="delta", base=BaseRef(3, "A" * 43))
    maker.make("8", sequence=8)
    catalog = Catalog(tmp_path)

    def active(sequence: int) -> State:
        return replace(State(), activation=Activation(sequence, "digest", 1, NOW))

    assert serving(catalog, active(7)) == (7, 3)
    assert serving(catalog, active(8)) == (8,)
    assert serving(catalog, active(9)) == (9,)  # damaged or gone: it serves from memory, and must not be forgotten
    assert serving(catalog, State()) == ()


def test_where_too_few_roots_are_left_a_new_first_file_is_begun_on_purpose(desk: Desk):
    desk.rotated()
    words = [word.replace("anne", "dora") for word in first()]
    desk.done("trust", "new", *words, "--sign", "@keys/dora-root.jwk", "--out", "@new.json", home="nowhere")
    desk.done("trust", "sign", "@new.json", "--key", "@keys/bruno-root.jwk", home="nowhere")
    assert "version 2's root signers, and has bruno" in desk.refused("trust", "rotate", "@new.json")
    aside = desk.root / "aside"
    aside.mkdir()
    for path in (*desk.home.glob("trust*.json"), desk.home / "node" / "trust-floor.json"):
        path.rename(aside / path.name)
    desk.done("trust", "rotate", "@new.json")
    desk.loaded(2, "dora", "bruno")
    assert desk.active() == [1, 2]


# Attacks on the installation


def test_the_old_roots_alone_and_the_new_roots_alone_are_refused(desk: Desk):
    newcomers = ("--add-root", "dora=@keys/dora-root.pub.jwk", "--root-threshold", "3")
    old = desk.signed("--remove-root", "chloe", *newcomers, by=("anne", "bruno"))
    assert "needs 3 of its own root signers, and has anne, bruno" in desk.refused("trust", "rotate", str(old))
    old.unlink()
    new = desk.signed("--remove-root", "anne", "--add-root", "dora=@keys/dora-root.pub.jwk", by=("bruno", "dora"))
    assert "needs 2 of version 1's root signers, and has bruno" in desk.refused("trust", "rotate", str(new))


def test_a_skipped_version_is_refused(desk: Desk):
    second = desk.signed().rename(desk.root / "t2.json")
    keys = ("--sign", "@keys/anne-root.jwk", "@keys/bruno-root.jwk")
    desk.done("trust", "rotate", "--from", str(second), "--out", "@t3.json", *keys)
    assert "expected trust version 2, found 3" in desk.refused("trust", "rotate", "@t3.json")


def test_one_root_with_two_keys_is_refused(desk: Desk):
    desk.rotated("--add-root", "anne=@keys/anne-new-root.pub.jwk")
    attack = desk.signed(by=("anne", "anne-new"))
    assert "version 2's root signers, and has anne" in desk.refused("trust", "rotate", str(attack))


def test_a_removed_signer_signs_nothing_that_loads(desk: Desk):
    desk.loaded(2, "anne", "chloe")
    desk.rotated("--remove-snapshot", "bruno")
    folder = desk.built(3)
    desk.done("snapshot", "sign", str(folder), "--key", "@keys/anne.jwk")
    status, _, err = desk.run("snapshot", "sign", str(folder), "--key", "@keys/bruno.jwk")
    assert (status, "its signature will not count" in err) == (Exit.DONE, True)
    said = desk.refused("snapshot", "load", str(folder))
    assert "step 2 signatures and threshold: expected 2 of anne, chloe; found 1 of them (anne)" in said
    assert "1 by keys the trust file does not know" in said


def test_a_trust_file_rolled_back_is_refused_by_every_command(desk: Desk):
    former = (desk.home / "trust.json").read_bytes()
    second = desk.signed()
    desk.done("trust", "rotate", str(second))
    (desk.root / "t1.json").write_bytes(former)
    assert "expected trust version 3, found 1" in desk.refused("trust", "rotate", "@t1.json")
    (desk.home / "trust.json").write_bytes(former)
    rollback = "expected trust version 2 or above, as installed here; found 1: a rollback"
    assert rollback in desk.refused("trust", "show")
    assert rollback in desk.refused("trust", "rotate", "@t1.json")
    assert rollback in desk.refused("snapshot", "activate", "1")
    (desk.home / "trust.json").unlink()
    assert rollback in desk.refused("trust", "rotate", "@t1.json")
    desk.done("trust", "rotate", str(second))
    assert desk.json("trust", "show")["version"] == 2


def test_what_is_no_trust_file_is_neither_signed_nor_installed(desk: Desk):
    manifest = str(desk.root / "s1" / "manifest.json")
    for words in (("sign", manifest, "--key", "@keys/anne-root.jwk"), ("rotate", manifest), ("show", manifest)):
        said = desk.refused("trust", *words)
        assert said.startswith(f"{manifest}: ")
    for content in ("", "{}", "[]"):
        (desk.root / "x.json").write_text(content)
        assert "x.json: " in desk.refused("trust", "sign", "@x.json", "--key", "@keys/anne-root.jwk")
        assert (desk.root / "x.json").read_text() == content


# Signing a draft


def test_a_key_that_would_count_for_nothing_is_refused(desk: Desk):
    desk.made()
    before = (desk.root / "next.json").read_bytes()
    said = desk.refused("trust", "sign", "@next.json", "--key", "@keys/anne.jwk")
    assert f"key {desk.kid('anne')} is no root key of version 1 or 2: its signature would not count" in said
    assert (desk.root / "next.json").read_bytes() == before


def test_without_the_version_before_a_former_root_is_warned_and_may_sign(desk: Desk):
    desk.made("--remove-root", "chloe")
    words = ("trust", "sign", "@next.json", "--key", "@keys/chloe-root.jwk")
    status, out, err = desk.run(*words, home="nowhere")
    assert (status, "is no root key of version 2; the version before is not known" in err) == (Exit.DONE, True)
    assert "root people of version 1: not known here (--from)" in out
    assert "root people of version 1: 1 of 2 needed: chloe" in desk.run("trust", "show", "@next.json")[1]


def test_the_version_before_must_be_the_one_before(desk: Desk):
    second = desk.signed().rename(desk.root / "t2.json")
    said = desk.refused("trust", "sign", str(second), "--key", "@keys/chloe-root.jwk", "--from", str(second))
    assert "t2.json is version 2, not the one before version 2" in said


def test_signing_takes_a_key_or_signatures(desk: Desk):
    desk.made()
    for words in ((), ("--key", "@keys/anne-root.jwk", "--merge", "@next.json")):
        assert "give --key FILE to sign, or --merge FILE" in desk.refused("trust", "sign", "@next.json", *words)


def test_signatures_of_another_draft_do_not_merge(desk: Desk):
    other = desk.signed("--expires-days", "30").rename(desk.root / "other.json")
    desk.made()
    before = (desk.root / "next.json").read_bytes()
    assert "other.json: made for another payload" in desk.refused("trust", "sign", "@next.json", "--merge", str(other))
    assert (desk.root / "next.json").read_bytes() == before


def test_a_false_signature_by_a_root_key_does_not_merge(desk: Desk):
    desk.made()
    shutil.copy(desk.root / "next.json", desk.root / "false.json")
    desk.done("trust", "sign", "@false.json", "--key", "@keys/anne-root.jwk")
    document = json.loads((desk.root / "false.json").read_bytes())
    document["signatures"][0]["signature"] = document["signatures"][0]["signature"][:-4] + "AAAA"
    (desk.root / "false.json").write_text(json.dumps(document))
    before = (desk.root / "next.json").read_bytes()
    said = desk.refused("trust", "sign", "@next.json", "--merge", "@false.json")
    assert said.startswith(f"{desk.root}/false.json: the signature by key {desk.kid('anne-root')}")
    assert (desk.root / "next.json").read_bytes() == before


# The end


def test_a_trust_file_near_its_end_is_warned_about(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    desk.trust_that_ends(now() + dt.timedelta(days=9, hours=1))
    status, out, err = desk.run("trust", "show")
    assert (status, "(9 days left)" in out) == (Exit.DONE, True)
    assert "warning: the trust file, version 1, expires in 9 days, on " in err
    assert "expires in 9 days" in desk.json("trust", "show")["warning"]
    monkeypatch.setenv("RELAIS_TRUST_EXPIRY_WARNING_DAYS", "8")
    assert desk.run("trust", "show")[2] == ""
    assert desk.json("trust", "show")["warning"] is None


def test_an_expired_trust_file_is_shown_and_refuses_and_can_be_succeeded(desk: Desk):
    desk.trust_that_ends(now() - dt.timedelta(days=1))
    status, out, err = desk.run("trust", "show")
    assert (status, "(expired), digest" in out) == (Exit.REFUSED, True)
    assert "expired on" in err
    status, out, _ = desk.run("trust", "show", "--json")
    assert (status, json.loads(out)["valid"], json.loads(out)["days_left"]) == (Exit.REFUSED, False, 0)
    folder = desk.built(2)
    assert "expired" in desk.refused("snapshot", "load", str(folder))
    desk.rotated()
    assert desk.json("trust", "show")["valid"] is True
    for name in ("anne", "chloe"):
        desk.done("snapshot", "sign", str(folder), "--key", f"@keys/{name}.jwk")
    desk.done("snapshot", "load", str(folder))
    assert desk.active() == [1, 2]


def test_a_kept_version_that_was_tampered_with_is_told(desk: Desk):
    desk.rotated()
    kept = desk.home / "trust.1.json"
    kept.chmod(0o644)
    kept.write_bytes(kept.read_bytes().replace(b'"signature":"', b'"signature":"AAAA'))
    assert "a former version kept beside it does not lead to it" in desk.refused("trust", "show")


def test_a_file_is_shown_with_what_it_lacks(desk: Desk):
    desk.made("--remove-snapshot", "chloe")
    status, out, err = desk.run("trust", "show", "@next.json")
    assert status == Exit.REFUSED
    assert f"  - snapshot chloe {desk.kid('chloe')}" in out
    assert "root people of version 1: 0 of 2 needed: none" in out
    assert "next.json: the trust file needs 2 of version 1's root signers, and has none" in err
    assert payload(desk.root / "next.json")["version"] == 2
