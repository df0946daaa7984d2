"""What an operator sees before, during and after a load, by the commands alone, on a demo home nobody serves."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from service import admission as judged
from service.cli import admission
from service.cli.main import _run
from service.clock import SystemClock
from service.snapshot.verify import Conditions
from tests.fleet import Installation
from tests.scenarios.supply import SIGNERS

AMC = "0990000011"
#: Two who may order: numbers that no system user has.
ANN, BOB = 3_999_999_001, 3_999_999_002
GUARD = "9 guard"
SEQUENCE = "5 sequence against the floor"
LOOSER = "the policy may not loosen: renewal_grace_days"


class Said(NamedTuple):
    """What a command answered."""

    status: int
    out: str
    err: str

    @property
    def members(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True, slots=True)
class Desk:
    """An operator at the shell of a home."""

    home: Path
    capture: pytest.CaptureFixture[str]

    def run(self, *words: str | Path) -> Said:
        status = _run([*map(str, words), "--home", str(self.home)])
        return Said(int(status), *self.capture.readouterr())

    def load(self, folder: Path, *words: str) -> Said:
        return self.run("snapshot", "load", folder, *words)

    def build(self, sequence: int, *, grace: int = 31, name: str = "", days: int = 7, sign: bool = True) -> Path:
        """The demo's people under another sequence, with so many days of grace at two of their AMCs."""
        out = self.home.with_name(name or f"built-{sequence}")
        policy = out.with_suffix(".toml")
        text = (self.home / "demo" / "policy.toml").read_text()
        policy.write_text(text.replace("renewal_grace_days = 31", f"renewal_grace_days = {grace}"))
        words = ("--source", self.home / "demo" / "rows.ndjson", "--policy", policy, "--out", out)
        done = self.run("snapshot", "build", *words, "--sequence", str(sequence), "--valid-for", str(days))
        assert done.status == 0, done.err
        for signer in SIGNERS if sign else ():
            assert self.run("snapshot", "sign", out, "--key", self.home / "keys" / f"{signer}.jwk").status == 0
        return out

    def orders(self) -> list[dict[str, Any]]:
        orders: list[dict[str, Any]] = self.run("orders", "list", "--json").members["orders"]
        return orders

    def status(self) -> dict[str, Any]:
        supply: dict[str, Any] = self.run("status", "--json").members["supply"]
        return supply

    def warnings(self) -> list[str]:
        return [warning["code"] for warning in self.status()["warnings"]]

    def verdict(self, folder: Path | None = None) -> dict[str, Any]:
        place = self.home / "snapshots" / "last-load" if folder is None else folder
        verdict: dict[str, Any] = json.loads(place.with_name(f"{place.name}.verdict.json").read_bytes())
        return verdict

    def floor(self) -> dict[str, Any]:
        floor: dict[str, Any] = json.loads((self.home / "node" / "floor.json").read_bytes())
        return floor

    def active(self) -> int:
        listed = self.run("snapshot", "list", "--json").members["snapshots"]
        return next(int(one["sequence"]) for one in listed if one["state"] == "active")

    def files(self) -> Mapping[str, str]:
        """Every file of the home by its content; databases and locks aside."""
        return {
            str(path.relative_to(self.home)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in self.home.rglob("*")
            if path.is_file() and not re.search(r"\.lock$|\.db(-wal|-shm)?$", path.name)
        }


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Installation.make(tmp_path_factory.mktemp("loads") / "home", 300).home


@pytest.fixture
def desk(template: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Desk:
    return Desk(Path(shutil.copytree(template, tmp_path / "home")), capsys)


# Looking first


def test_a_dry_run_compares_with_what_serves_and_names_every_finding(desk: Desk):
    folder = desk.build(2, grace=90)
    before, orders = desk.files(), desk.orders()
    said = desk.load(folder, "--dry-run")
    assert said.status == 1
    lines = said.out.splitlines()
    assert lines[0] == "snapshot 2 would be refused: signed by signer-1, signer-2"
    assert re.fullmatch(r"snapshot 1 → 2 +before +after +change", lines[1])
    assert "  policy loosened: renewal_grace_days 31 → 90" in lines
    assert [line for line in lines if line.startswith("finding: ")] == [
        f"finding: {LOOSER} (AMC {amc}: 31 → 90)" for amc in (AMC, "0990000066")
    ]
    assert said.err.startswith(f"relais: would be refused at step {GUARD}: expected no finding of the guard")
    assert said.err.count("\n") == 1
    assert (desk.files(), desk.orders()) == (before, orders)
    verdict = desk.verdict(folder)
    assert (verdict["accepted"], verdict["dry_run"], verdict["step"]) == (False, True, GUARD)
    assert len(verdict["findings"]) == 2
    assert desk.warnings() == []


def test_a_dry_run_with_a_reason_says_that_it_would_be_accepted(desk: Desk):
    folder = desk.build(2, grace=90)
    said = desk.load(folder, "--dry-run", "--accept", "the AMCs wrote to us")
    assert (said.status, said.err) == (0, "")
    assert said.out.startswith("snapshot 2 would be activated: signed by signer-1, signer-2\n")
    assert f"accepted: {LOOSER} (AMC {AMC}: 31 → 90)" in said.out
    assert (desk.verdict(folder)["accepted"], desk.verdict(folder)["dry_run"]) == (True, True)
    assert desk.active() == 1
    assert "nothing to accept" in desk.load(desk.build(3), "--dry-run", "--accept", "just in case").out


def test_a_dry_run_for_machines_holds_comparison_and_refusals(desk: Desk):
    said = desk.load(desk.build(2, grace=90), "--dry-run", "--json")
    assert said.status == 1
    told = said.members
    assert (told["sequence"], told["outcome"], told["first_load"]) == (2, "would_be_refused", False)
    assert [refusal["step"] for refusal in told["refusals"]] == [GUARD]
    assert told["comparison"]["totals"]["people"]["percent"] == 0
    (amc,) = (amc for amc in told["comparison"]["amcs"] if amc["amc"] == AMC)
    assert amc["policy"] == [{"member": "renewal_grace_days", "before": "31", "after": "90", "effect": "loosened"}]
    assert len(told["comparison"]["findings"]) == 2


def test_a_dry_run_of_what_nobody_signed_tells_nothing_of_it(desk: Desk):
    said = desk.load(desk.build(2, sign=False), "--dry-run")
    assert said.status == 1
    assert said.out == "nothing is known of this snapshot: it did not come as far as its manifest\n"
    assert said.err == (
        "relais: would be refused at step 2 signatures and threshold: "
        "expected 2 of signer-1, signer-2; found no signature\n"
    )


def test_a_dry_run_of_what_is_active_says_that_nothing_would_change(desk: Desk):
    said = desk.load(desk.home / "snapshots" / "1", "--dry-run")
    assert (said.status, said.err) == (0, "")
    assert said.out.startswith("snapshot 1 is active already, and nothing would change")
    assert desk.load(desk.home / "snapshots" / "1", "--dry-run", "--json").members["outcome"] == "unchanged"


def test_a_dry_run_under_a_pin_tells_the_order_as_well_as_the_step(desk: Desk):
    desk.load(desk.build(2))
    assert desk.run("snapshot", "pin", "1", "--until", "2h", "--reason", "doubt about 2").status == 0
    said = desk.load(desk.build(3, grace=90), "--dry-run")
    assert said.status == 1
    step, order = said.err.splitlines()
    assert step.startswith(f"relais: would be refused at step {GUARD}")
    assert re.fullmatch(r"relais: would be refused: snapshot 1 is pinned by order \d+: unpin first", order)
    good = desk.load(desk.build(4), "--dry-run", "--json")
    assert (good.status, [refusal["step"] for refusal in good.members["refusals"]]) == (1, ["conflict"])
    assert desk.run("snapshot", "unpin", "--reason", "4 is good").status == 0
    assert desk.load(desk.home.with_name("built-4"), "--dry-run").status == 0


# Accepting


def test_the_order_lists_the_findings_it_accepts_and_their_reason(desk: Desk):
    folder = desk.build(2, grace=90)
    findings = [f"{LOOSER} (AMC {amc}: 31 → 90)" for amc in (AMC, "0990000066")]
    told = desk.load(folder, "--accept", "the AMCs wrote to us", "--json").members
    order = desk.orders()[-1]
    assert (order["reason"], order["body"]["accepted"]) == ("the AMCs wrote to us", findings)
    assert (told["outcome"], told["accepted"], told["order_version"]) == ("activated", findings, order["version"])
    assert told["orders"] == [{"version": order["version"], "kind": "snapshot.activate", "scope": "*"}]
    assert told["follows"]
    listed = desk.run("orders", "list").out.splitlines()
    assert listed[-3].endswith("snapshot.activate * sequence=2: the AMCs wrote to us")
    assert [line.strip() for line in listed[-2:]] == [f"accepted: {finding}" for finding in findings]
    assert desk.verdict(folder)["accept"] == "the AMCs wrote to us"


def test_what_was_accepted_is_the_floor_and_nothing_more_is_accepted(desk: Desk):
    desk.load(desk.build(2, grace=90), "--accept", "the AMCs wrote to us")
    assert {entry["stand_in"]["renewal_grace_days"] for entry in desk.floor()["amcs"]} >= {90}
    assert desk.load(desk.build(3, grace=90)).status == 0
    assert desk.orders()[-1]["body"]["accepted"] == []
    said = desk.load(desk.build(4, grace=91))
    assert (said.status, said.out) == (1, "")
    assert f"{LOOSER} (AMC {AMC}: 90 → 91)" in said.err
    assert desk.active() == 3


def test_a_reason_with_nothing_to_accept_is_not_recorded_and_says_so(desk: Desk):
    folder = desk.build(2)
    said = desk.load(folder, "--accept", "just in case")
    assert said.status == 0
    assert "nothing to accept: the guard found nothing, and the reason is not recorded\n" in said.out
    order = desk.orders()[-1]
    assert (order["reason"], order["body"]["accepted"]) == ("a verified snapshot was loaded", [])
    assert desk.verdict(folder)["accept"] is None
    assert "just in case" not in "".join(path.read_text() for path in desk.home.rglob("*.json*"))


@pytest.mark.parametrize(
    ("reason", "fault"),
    [
        ("ask 1850575116001", "13 digits or more in a row"),
        ("ask 1 85 05 75 116 001", "13 digits or more in a row"),
        (" ", "a reason is mandatory"),
        ("a\nb", "control, invisible or broken characters"),
    ],
)
@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_a_reason_that_may_not_be_kept_is_refused_before_anything_is_looked_at(
    desk: Desk, reason: str, fault: str, dry: tuple[str, ...]
):
    said = desk.load(desk.home.with_name("nowhere"), "--accept", reason, *dry)
    assert (said.status, said.out) == (1, "")
    assert said.err.startswith("relais: --accept: ")
    assert fault in said.err
    assert "116" not in said.err
    assert desk.verdict()["sequence"] == 1  # still that of the first load


def test_accepting_lets_no_older_snapshot_pass(desk: Desk):
    desk.load(desk.build(2))
    for words in ("load", desk.home / "snapshots" / "1"), ("activate", "1"):
        said = desk.run("snapshot", *words, "--accept", "it was better")
        assert (said.status, f"step {SEQUENCE}" in said.err) == (1, True)
    assert desk.active() == 2


# The floor


def test_after_a_pin_the_floor_is_still_the_highest_ever_activated(desk: Desk):
    desk.load(desk.build(2, grace=10))
    assert desk.run("snapshot", "pin", "1", "--until", "2h", "--reason", "doubt about 2").status == 0
    assert (desk.active(), desk.floor()["sequence"]) == (1, 2)
    assert desk.run("snapshot", "unpin", "--reason", "the doubt is over").status == 0
    said = desk.load(desk.build(3, grace=31))  # as generous as what serves, more than the floor
    assert (said.status, f"{LOOSER} (AMC {AMC}: 10 → 31)" in said.err) == (1, True)
    assert desk.load(desk.build(4, grace=10)).status == 0
    assert (desk.active(), desk.floor()["sequence"]) == (4, 4)


def test_what_a_pin_left_behind_is_refused_before_it_is_read_again(desk: Desk):
    desk.load(desk.build(2))
    desk.run("snapshot", "pin", "1", "--until", "2h", "--reason", "doubt about 2")
    records = desk.home / "snapshots" / "2" / "records.lmdb"
    records.chmod(0o644)
    records.write_bytes(b"not read: the step before refuses")
    for reason, found in (("in force", "is pinned by order"), ("over", "put in quarantine by a pin")):
        said = desk.run("snapshot", "activate", "2")
        assert (said.status, found in said.err, f"step {SEQUENCE}" in said.err) == (1, True, True), reason
        desk.run("snapshot", "unpin", "--reason", "the doubt is over")


def test_a_load_under_a_pin_is_held_and_told_as_refused(desk: Desk):
    desk.load(desk.build(2))
    desk.run("snapshot", "pin", "1", "--until", "2h", "--reason", "doubt about 2")
    folder = desk.build(3)
    said = desk.load(folder)
    assert (said.status, "is pinned by order" in said.err) == (1, True)
    for verdict in (desk.verdict(folder), desk.verdict()):
        assert (verdict["accepted"], verdict["step"], verdict["sequence"]) == (False, "conflict", 3)
    assert desk.status()["last_error"]["step"] == "conflict"
    desk.run("snapshot", "unpin", "--reason", "3 is good")
    assert desk.run("snapshot", "activate", "3").status == 0
    assert desk.status()["last_error"] is None


def test_a_node_whose_floor_stayed_behind_catches_up_before_it_judges(desk: Desk):
    """Killed between the order and the note beside the node: the next load notes it, whatever comes of that load."""
    kept = (desk.home / "node" / "floor.json").read_bytes()
    desk.load(desk.build(2))
    (desk.home / "node" / "floor.json").write_bytes(kept)
    refused = desk.build(3, grace=90)
    assert desk.load(refused, "--dry-run").status == 1
    assert desk.floor()["sequence"] == 1
    assert desk.load(refused).status == 1
    assert desk.floor()["sequence"] == 2


def test_a_disk_that_takes_no_floor_undoes_no_order(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    folder = desk.build(2)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(admission, "raise_floor", full)
    said = desk.load(folder)
    assert (said.status, desk.active()) == (0, 2)
    assert "relais: warning: floor.json cannot be written (No space left on device)" in said.err


def test_of_two_memories_of_one_snapshot_the_larger_counts_hold(desk: Desk):
    path = desk.home / "node" / "floor.json"
    floor = desk.floor()
    people = floor["amcs"][0]["people"] = floor["amcs"][0]["people"] + 100_000
    path.write_text(json.dumps(floor))
    said = desk.load(desk.build(2))
    assert said.status == 1
    assert f"people may not change by more than 10 % (AMC {AMC}: {people} → {people - 100_000})" in said.err


def damaged(desk: Desk) -> None:
    (desk.home / "node" / "floor.json").write_bytes(b"{")


def without_trust(desk: Desk) -> None:
    (desk.home / "trust.json").unlink()


def without_pepper(desk: Desk) -> None:
    (desk.home / "keys" / "pepper.jwk").write_text("{}")


@pytest.mark.parametrize(
    ("bend", "step"),
    [(damaged, SEQUENCE), (without_trust, "trust_refused"), (without_pepper, "key_rejected")],
)
def test_a_load_that_cannot_even_begin_leaves_a_verdict(desk: Desk, bend: Callable[[Desk], None], step: str):
    folder = desk.build(2)
    bend(desk)
    said = desk.load(folder)
    assert (said.status, said.err.count("\n")) == (1, 1)
    for verdict in (desk.verdict(folder), desk.verdict()):
        assert (verdict["accepted"], verdict["step"], verdict["sequence"]) == (False, step, None)
        assert verdict["found"]
    assert desk.status()["last_error"]["step"] == step


def test_a_fresh_node_is_told_what_it_must_not_go_below(desk: Desk, tmp_path: Path):
    """No floor, no orders: an old snapshot that has not expired would pass, had nobody said what served elsewhere."""
    desk.load(desk.build(2))
    fresh = Desk(tmp_path / "fresh", desk.capture)
    assert fresh.run("init", fresh.home).status == 0
    for name in ("trust.json", "keys/pepper.jwk"):
        shutil.copy(desk.home / name, fresh.home / name)
    (fresh.home / "relais.toml").write_text(
        (fresh.home / "relais.toml").read_text().replace("demo = false", "demo = true")
    )
    old = desk.home / "snapshots" / "1"
    said = fresh.load(old, "--at-least", "2")
    assert said.err == f"relais: refused at step {SEQUENCE}: expected sequence 2 or above, as asked for; found 1\n"
    assert fresh.orders() == []
    assert fresh.load(old, "--at-least", "2", "--dry-run").status == 1
    taken = fresh.load(desk.home / "snapshots" / "2", "--at-least", "2")
    assert (taken.status, "there was no floor to compare with" in taken.out) == (0, True)
    assert fresh.load(old).status == 1


# Two people


@pytest.fixture
def by(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Somebody logs in; in a home where what loosens takes two people."""
    login = tmp_path / "loginuid"
    monkeypatch.setattr("service.cli.common._LOGIN_UID", login)
    monkeypatch.setenv("RELAIS_CONTROL_TWO_PERSON", "always")

    def logs_in(uid: int) -> None:
        login.write_text(str(uid))

    logs_in(ANN)
    return logs_in


def proposed(said: Said) -> str:
    assert said.status == 4
    (proposal,) = said.members["proposals"]
    return str(proposal["id"])


def test_what_is_accepted_serves_once_somebody_else_approves(desk: Desk, by: Callable[[int], None]):
    folder, floor = desk.build(2, grace=90), desk.floor()
    said = desk.load(folder, "--accept", "the AMCs wrote to us", "--json")
    made = proposed(said)
    assert (said.members["outcome"], said.members["orders"]) == ("proposed", [])
    assert (desk.active(), desk.floor()) == (1, floor)
    assert proposed(desk.run("snapshot", "activate", "2", "--accept", "the AMCs wrote to us", "--json")) == made
    assert desk.run("orders", "approve", made).status == 1
    by(BOB)
    said = desk.run("orders", "approve", made)
    assert (said.status, desk.active(), desk.floor()["sequence"]) == (0, 2, 2)
    order = desk.orders()[-1]
    assert (order["actor"], order["approved_by"]) == (f"cli:uid-{ANN}", f"cli:uid-{BOB}")
    assert len(order["body"]["accepted"]) == 2
    # What the guard has nothing against takes one.
    assert desk.load(desk.build(3, grace=90)).status == 0


def test_a_pin_holds_once_somebody_else_approves(desk: Desk, by: Callable[[int], None]):
    assert desk.load(desk.build(2)).status == 0
    made = proposed(desk.run("snapshot", "pin", "1", "--until", "1h", "--reason", "2 is bad", "--json"))
    assert desk.active() == 2
    by(BOB)
    assert desk.run("orders", "approve", made, "--json").members["follows"]
    assert desk.active() == 1


def test_what_is_no_longer_held_as_it_was_proposed_is_not_approved(desk: Desk, by: Callable[[int], None]):
    assert desk.load(desk.build(2)).status == 0
    pin = proposed(desk.run("snapshot", "pin", "1", "--until", "1h", "--reason", "2 is bad", "--json"))
    by(BOB)
    shutil.rmtree(desk.home / "snapshots" / "1")
    said = desk.run("orders", "approve", pin)
    assert (said.status, "snapshot 1 is not held here" in said.err) == (1, True)
    shutil.copytree(desk.home / "snapshots" / "2", desk.home / "snapshots" / "1")
    said = desk.run("orders", "approve", pin)
    assert (said.status, "snapshot 1 is not held here as it was proposed: holds sequence 2" in said.err) == (1, True)
    assert desk.active() == 2


def test_a_snapshot_that_expired_while_it_waited_is_not_approved(
    desk: Desk, by: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
):
    made = proposed(desk.load(desk.build(2, grace=90, days=1), "--accept", "the AMCs wrote to us", "--json"))
    by(BOB)
    monkeypatch.setattr(judged, "conditions", later(judged.conditions, dt.timedelta(days=2)))
    said = desk.run("orders", "approve", made)
    assert (said.status, said.err) == (1, "relais: snapshot 2 has expired since it was proposed\n")
    assert desk.active() == 1


def later(conditions: Callable[..., Conditions], by: dt.timedelta) -> Callable[..., Conditions]:
    """The same conditions, by a clock that is ahead."""
    return lambda *arguments: replace(conditions(*arguments), now=SystemClock().now() + by)


# Comparing what is held


def test_two_held_snapshots_are_compared_by_their_sequences(desk: Desk):
    desk.load(desk.build(2, grace=10))
    said = desk.run("snapshot", "diff", "1", "2")
    assert (said.status, said.err) == (0, "")
    assert "  policy tightened: renewal_grace_days 31 → 10" in said.out.splitlines()
    assert said.out.splitlines()[-1] == "the guard finds nothing"
    back = desk.run("snapshot", "diff", "2", "1")
    assert f"finding: {LOOSER} (AMC {AMC}: 10 → 31)" in back.out
    assert f"would be refused at step {SEQUENCE}: expected sequence 2 or above; found 1: a rollback" in back.out


def test_a_folder_is_compared_before_anybody_signs_it_and_without_a_home(desk: Desk, tmp_path: Path):
    folder = desk.build(2, grace=90, sign=False)
    told = desk.run("snapshot", "diff", "1", folder, "--json").members
    assert (told["before"]["signers"], told["after"]["signers"]) == (["signer-1", "signer-2"], [])
    assert (told["before"]["sequence"], told["after"]["sequence"]) == (1, 2)
    assert set(told) == {"before", "after", "totals", "added", "vanished", "amcs", "rollback", "findings"}
    assert [finding["amc"] for finding in told["findings"]] == [AMC, "0990000066"]
    held = str(desk.home / "snapshots" / "1")
    assert _run(["snapshot", "diff", held, str(folder), "--home", str(tmp_path / "none")]) == 0
    out = desk.capture.readouterr().out
    assert "  signed by unknown here, no trust file → unknown here, no trust file\n" in out


def test_amcs_that_came_and_went_are_marked(desk: Desk):
    text = (desk.home / "demo" / "policy.toml").read_text()
    (desk.home / "demo" / "policy.toml").write_text("[[amc]]".join(text.split("[[amc]]")[:-1]))
    rows = (desk.home / "demo" / "rows.ndjson").read_text().splitlines(keepends=True)
    (desk.home / "demo" / "rows.ndjson").write_text("".join(row for row in rows if "0990000077" not in row))
    folder = desk.build(2)
    told = desk.run("snapshot", "diff", "1", folder, "--json").members
    assert (told["added"], told["vanished"]) == ([], ["0990000077"])
    gone = next(amc for amc in told["amcs"] if amc["amc"] == "0990000077")
    assert (gone["people"]["after"], gone["people"]["percent"], gone["extracted_at"]["after"]) == (None, None, None)
    lines = desk.run("snapshot", "diff", "1", folder).out
    assert re.search(r"^AMC 0990000077 .* vanished$", lines, re.MULTILINE)
    assert "finding: an AMC may not vanish (AMC 0990000077: " in lines
    assert re.search(r"^AMC 0990000077 .* added$", desk.run("snapshot", "diff", folder, "1").out, re.MULTILINE)


@pytest.mark.parametrize(("name", "found"), [("9", "snapshot 9 is not held here"), ("./9", "step 0 folder")])
def test_what_is_not_there_is_not_compared(desk: Desk, name: str, found: str):
    said = desk.run("snapshot", "diff", "1", name)
    assert (said.status, said.out, found in said.err) == (1, "", True)


# Status


def test_status_tells_each_stage_and_clears_an_error_at_the_next_success(desk: Desk):
    first = desk.status()
    assert first["checked"] == first["changed"]
    assert first["changed"] <= first["activated"]
    assert (first["last_error"], first["warnings"]) == (None, [])
    assert 0 < first["time_left_seconds"] <= 45 * 86_400
    refused = desk.build(2, grace=90)
    desk.load(refused)
    told = desk.status()
    assert (told["changed"], told["activated"]) == (first["changed"], first["activated"])
    assert told["checked"] == told["last_error"]["at"] >= first["checked"]
    assert told["last_error"]["step"] == GUARD
    assert LOOSER in told["last_error"]["text"]
    assert desk.warnings() == ["load_refused"]
    lines = desk.run("status").out.splitlines()
    assert any(line.startswith("last error ") and LOOSER in line for line in lines)
    assert any(line.startswith(f"warning load_refused: {GUARD}, at ") for line in lines)
    desk.load(desk.home / "snapshots" / "1")  # looked at again, and nothing new: a success all the same
    again = desk.status()
    assert (again["last_error"], again["warnings"], again["changed"]) == (None, [], first["changed"])


@pytest.mark.parametrize(
    ("hours", "codes"),
    [
        (35, []),
        (37, ["freeze"]),
        (44 * 24, ["snapshot_expiring", "freeze", "extract_aging"]),
        (46 * 24, ["snapshot_expired"]),
    ],
)
def test_status_warns_before_the_end_and_when_nothing_new_comes(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, hours: int, codes: list[str]
):
    shift = dt.timedelta(hours=hours)
    monkeypatch.setattr(SystemClock, "now", lambda _: dt.datetime.now(dt.UTC) + shift)
    assert desk.warnings() == codes


def test_status_warns_of_the_end_of_the_trust_file_by_its_setting(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RELAIS_TRUST_EXPIRY_WARNING_DAYS", "3660")
    assert desk.warnings() == ["trust_expiring"]
    (desk.home / "trust.json").write_bytes(b"{}")
    assert desk.warnings() == ["trust_refused"]


def test_status_tells_the_look_of_a_sync_too(desk: Desk):
    error = {"at": "2100-01-01T00:00:00Z", "step": "depot_unavailable", "text": "the depot does not answer"}
    status = {"checked_at": "2100-01-01T00:00:00Z", "changed_at": None, "source": "s3://snapshots", "error": error}
    (desk.home / "node" / "sync.json").write_text(json.dumps(status))
    told = desk.status()
    assert (told["checked"], told["last_error"]) == ("2100-01-01T00:00:00Z", error)
    assert desk.warnings() == ["load_refused"]
