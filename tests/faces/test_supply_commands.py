"""From keys to a verified snapshot by the commands alone, and what they say when refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from service.cli.exits import Exit
from service.cli.main import _run

POLICY = """
[[amc]]
number = "0775671993"
name = "Mutuelle"
extracted_at = 2024-02-01T03:00:00+01:00
[amc.stand_in]
allowed = true
renewal_grace_days = 60
closed_trust_days = 3
max_age_days = 30
on_unknown = "check_card"
"""
ROW = {
    "nir": "185057511600159",
    "birth_date": "1985-05-12",
    "birth_rank": 1,
    "amc": "0775671993",
    "member": "M1",
    "csr": "",
    "convention": "RO",
    "payer_rank": 1,
    "valid_from": "2023-01-01",
    "valid_to": "2024-12-31",
    "card_valid_to": None,
    "closed_on": None,
    "suspended": [],
    "responsible": True,
    "domains": ["PHAR"],
    "rates": {"PH7": 100},
    "rate_base": "TR",
}


class Desk:
    """An operator at a shell, in a home with keys and a trust file."""

    def __init__(self, root: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.root = root
        self._capture = capture
        (root / "keys").mkdir()
        (root / "relais.toml").write_text("")
        (root / "policy.toml").write_text(POLICY)
        (root / "rows.ndjson").write_text(json.dumps(ROW) + "\n")

    def run(self, *words: str) -> tuple[int, str, str]:
        status = _run([word.replace("@", f"{self.root}/") for word in words])
        captured = self._capture.readouterr()
        return status, captured.out, captured.err

    def json(self, *words: str) -> Any:
        status, out, err = self.run(*words, "--json")
        assert status == Exit.DONE, err
        return json.loads(out)

    def trusted(self) -> None:
        for name, use in (("root-1", "root"), ("root-2", "root"), ("s1", "snapshot"), ("s2", "snapshot")):
            assert self.run("keys", "new", "--use", use, "--out", f"@keys/{name}.jwk")[0] == Exit.DONE
        assert self.run("keys", "new", "--use", "pepper", "--out", "@keys/pepper.jwk")[0] == Exit.DONE
        status, _, err = self.run(*self.trust_words("2"))
        assert status == Exit.DONE, err

    def trust_words(self, threshold: str) -> list[str]:
        words = ["trust", "new", "--home", "@", "--root", "ann=@keys/root-1.pub.jwk", "--root", "bea=@keys/root-2.jwk"]
        words += ["--snapshot", "cat=@keys/s1.pub.jwk", "dan=@keys/s2.pub.jwk", "--root-threshold", "2"]
        return [*words, "--snapshot-threshold", threshold, "--sign", "@keys/root-1.jwk", "@keys/root-2.jwk"]

    def built(self, *more: str) -> tuple[int, str, str]:
        words = ("--source", "@rows.ndjson", "--policy", "@policy.toml", "--sequence", "1", "--out", "@out")
        return self.run("snapshot", "build", *words, "--home", "@", *more)


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Desk:
    return Desk(tmp_path, capsys)


def test_rows_become_a_verified_snapshot(desk: Desk):
    desk.trusted()
    status, out, err = desk.built()
    assert status == Exit.DONE, err
    assert "1 people, 1 contracts, not signed yet" in out
    status, _, err = desk.run("snapshot", "verify", "@out", "--home", "@")
    assert (status, err.count("\n")) == (Exit.REFUSED, 1)
    assert "step 2 signatures and threshold: expected 2 of cat, dan; found no signature" in err
    assert "1 of 2 needed: cat" in desk.run("snapshot", "sign", "@out", "--key", "@keys/s1.jwk", "--home", "@")[1]
    signed = desk.json("snapshot", "sign", "@out", "--key", "@keys/s2.jwk", "--home", "@")
    assert (signed["counts"], signed["signers"], signed["threshold"]) == (True, ["cat", "dan"], 2)
    verified = desk.json("snapshot", "verify", "@out", "--home", "@")
    assert verified["valid"]
    assert verified["first_load"]
    assert verified["manifest"]["sequence"] == 1
    assert "no floor to compare with" in desk.run("snapshot", "verify", "@out", "--home", "@")[1]
    inspected = desk.json("snapshot", "inspect", "@out", "--home", "@")
    assert not inspected["verified"]
    assert inspected["digest"] == verified["digest"]
    assert "0775671993 Mutuelle" in desk.run("snapshot", "inspect", "@out", "--home", "@")[1]


def test_a_key_outside_the_trust_file_is_warned_about(desk: Desk):
    desk.trusted()
    desk.built()
    status, _, err = desk.run("snapshot", "sign", "@out", "--key", "@keys/root-1.jwk", "--home", "@")
    assert status == Exit.DONE
    assert "its signature will not count" in err


def test_signing_needs_no_home(desk: Desk):
    desk.trusted()
    desk.built()
    status, _, err = desk.run("snapshot", "sign", "@out", "--key", "@keys/s1.jwk", "--home", "@nowhere")
    assert status == Exit.DONE
    assert err == "relais: warning: whether this signature counts is not known here\n"


def test_a_delta_tells_what_differs_and_an_attestation_what_is_renewed(desk: Desk):
    desk.trusted()
    desk.built()
    (desk.root / "rows.ndjson").write_text(json.dumps({**ROW, "member": "M2"}) + "\n")
    words = ("snapshot", "build", "--source", "@rows.ndjson", "--policy", "@policy.toml", "--home", "@")
    status, out, err = desk.run(*words, "--base", "@out", "--sequence", "2", "--out", "@delta")
    assert status == Exit.DONE, err
    assert "snapshot 2 in" in out
    assert "delta over base 1: 2 entries new or changed, 1 gone" in out
    words = ("snapshot", "attest", "--base", "@out", "--policy", "@policy.toml", "--sequence", "3", "--out", "@same")
    status, out, err = desk.run(*words)
    assert status == Exit.DONE, err
    assert "1 people, 1 contracts, not signed yet" in out
    assert "empty delta over base 1: its data, valid until" in out
    inspected = desk.json("snapshot", "inspect", "@same", "--home", "@")["manifest"]
    assert (inspected["kind"], inspected["files"], inspected["salt"]) == ("delta", [], None)


def test_a_base_that_is_not_there_leaves_nothing(desk: Desk):
    desk.trusted()
    status, _, err = desk.built("--base", "@old")
    assert (status, err.count("\n"), "old is refused at step" in err) == (Exit.REFUSED, 1, True)
    assert not (desk.root / "out").exists()


def test_a_build_tells_its_speed_and_memory(desk: Desk):
    desk.trusted()
    status, out, err = desk.built("--jobs", "1")
    assert status == Exit.DONE, err
    assert "1 rows, " in out
    assert " MB of memory" in out
    words = ("--source", "@rows.ndjson", "--policy", "@policy.toml", "--sequence", "2", "--out", "@more", "--home", "@")
    told = desk.json("snapshot", "build", *words)
    assert set(told["seconds"]) == {"read", "seal", "place"}
    assert told["peak_rss_bytes"] > 10_000_000
    assert told["rows_per_second"] >= 1
    assert told["changes"] is None


@pytest.mark.parametrize("jobs", ["0", "65"])
def test_jobs_beyond_the_limits_are_refused(desk: Desk, jobs: str):
    desk.trusted()
    status, _, err = desk.built("--jobs", jobs)
    assert (status, "1 to 64 jobs" in err) == (Exit.REFUSED, True)


def test_a_source_in_another_encoding_is_read_where_it_is_declared(desk: Desk):
    desk.trusted()
    cells = ["" if cell is None else cell if isinstance(cell, str) else json.dumps(cell) for cell in ROW.values()]
    cells[list(ROW).index("csr")] = "ÉTÉ"
    lines = [";".join(ROW), ";".join('"' + cell.replace('"', '""') + '"' for cell in cells)]
    (desk.root / "rows.ndjson").write_text("\n".join(lines) + "\n", "latin-1")
    assert desk.built()[0] == Exit.REFUSED
    status, _, err = desk.built("--source-encoding", "latin-1")
    assert status == Exit.DONE, err


@pytest.mark.parametrize("days", ["0", "46"])
def test_a_validity_beyond_the_limits_is_refused(desk: Desk, days: str):
    desk.trusted()
    status, _, err = desk.built("--valid-for", days)
    assert status == Exit.REFUSED
    assert "45" in err


def test_a_build_without_member_entries_holds_half(desk: Desk):
    desk.trusted()
    desk.built("--no-member-entries")
    assert desk.json("snapshot", "inspect", "@out", "--home", "@")["manifest"]["counts"]["entries"] == 1


def test_an_unknown_column_aborts_the_build_without_echo(desk: Desk):
    desk.trusted()
    (desk.root / "rows.ndjson").write_text(json.dumps({**ROW, "surname": "Dupont"}) + "\n")
    status, _, err = desk.built()
    assert status == Exit.REFUSED
    assert "Dupont" not in err
    assert "185057511600159" not in err
    assert not (desk.root / "out").exists()


def test_a_trust_file_is_shown_and_never_replaced(desk: Desk):
    desk.trusted()
    shown = desk.json("trust", "show", "--home", "@")
    assert shown["roles"]["snapshot"]["threshold"] == 2
    assert [one["name"] for one in shown["roles"]["root"]["signers"]] == ["ann", "bea"]
    assert "snapshot: 2 of 2" in desk.run("trust", "show", "--home", "@")[1]
    status, _, err = desk.run(*desk.trust_words("2"))
    assert (status, "exists" in err) == (Exit.REFUSED, True)


def test_one_person_is_not_enough_outside_a_demo(desk: Desk):
    desk.trusted()
    (desk.root / "trust.json").unlink()
    status, _, err = desk.run(*desk.trust_words("1"))
    assert (status, "between 2 and" in err) == (Exit.REFUSED, True)
    assert not (desk.root / "trust.json").exists()
    (desk.root / "relais.toml").write_text("[instance]\ndemo = true\n")
    assert desk.run(*desk.trust_words("1"))[0] == Exit.DONE


def test_a_trust_file_short_of_root_signatures_is_not_written(desk: Desk):
    desk.trusted()
    (desk.root / "trust.json").unlink()
    status, _, _ = desk.run(*desk.trust_words("2")[:-1])
    assert status == Exit.REFUSED
    assert not (desk.root / "trust.json").exists()


def test_a_missing_trust_file_says_what_to_do(desk: Desk):
    status, _, err = desk.run("trust", "show", "--home", "@")
    assert (status, "relais trust new" in err) == (Exit.REFUSED, True)


def test_a_key_is_made_once(desk: Desk):
    words = ("keys", "new", "--use", "officer", "--out", "@keys/officer.jwk")
    made = desk.json(*words)
    assert [Path(file).name for file in made["files"]] == ["officer.jwk", "officer.pub.jwk"]
    status, _, err = desk.run(*words)
    assert (status, "never overwritten" in err) == (Exit.REFUSED, True)


def test_a_key_for_an_unknown_use_is_a_usage_error(desk: Desk):
    assert desk.run("keys", "new", "--use", "password", "--out", "@keys/x.jwk")[0] == Exit.USAGE
