"""`relais journal report`, `affected`, `export` and `prune` in a home whose journal holds a planted breach."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from pathlib import Path

import pytest

from service.cli.home import create_home
from service.cli.journal_affected import load_recipients
from service.cli.journal_prune import parse_age
from service.cli.main import _run
from service.control.fleet import FleetStore
from service.control.suspicions import SqliteSuspicions, Suspicion
from service.errors import OperatorError
from service.journal.segment import key_path, segment_paths
from service.journal.writer import JournalWriter
from service.keyfiles import KeyUse, load_jwks, load_private, write_new_key
from service.locks import ALONE, locked
from service.settings import Home
from tests.unit.journal.breach import FIRST, HONEST, SECOND, THIEF, Shown, nir, pending
from tests.unit.journal.journal_node import NOW, ManualClock
from tests.unit.journal.opened_age import RECIPIENT, open_age

ANSWERS = [
    Shown(1, open_at=(FIRST,)),
    Shown(1, open_at=(FIRST,)),
    Shown(2, closed_at=(SECOND,)),
    Shown(3),
    Shown(4, open_at=(FIRST,), client=HONEST),
]
SINCE = ("--since", "2024-02-01T00:00:00Z")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home with a journal of February 2024, in two segments."""
    made = create_home(tmp_path / "home")
    write_new_key(KeyUse.OFFICER, tmp_path / "officer.jwk")

    async def write(at: dt.datetime) -> None:
        register = FleetStore(made.fleet)
        key, officers = load_private(made.keys / "receipt.jwk"), load_jwks(tmp_path / "officer.pub.jwk")
        writer = JournalWriter(made.journal, "node-1", 0, key, officers, ManualClock(at), register)
        await writer.start()
        await asyncio.gather(*[writer.record(pending(one)) for one in ANSWERS])
        await writer.close()
        register.close()

    asyncio.run(write(NOW))
    asyncio.run(write(NOW + dt.timedelta(hours=1)))
    return made


def relais(home: Home, *arguments: str) -> int:
    return _run(["journal", *arguments, "--home", str(home.root)])


def key(home: Home) -> tuple[str, str]:
    return "--officer-key", str(home.root.parent / "officer.jwk")


def test_a_report_counts_exactly_with_the_key_and_bounds_without(home: Home, capsys: pytest.CaptureFixture[str]):
    assert relais(home, "report", "--client", THIEF, *key(home), "--json") == 0
    exact = json.loads(capsys.readouterr().out)
    assert (exact["exact"], exact["journal"]["whole"]) == (True, True)
    assert (exact["total"]["people"]["asked"], exact["total"]["people"]["disclosed"]) == (3, 2)
    assert relais(home, "report", "--client", THIEF) == 0
    assert "at most 6 people asked about, at most 4 of them disclosed" in capsys.readouterr().out
    assert relais(home, "report", "--all", *key(home)) == 0
    assert f"{HONEST}: 1 people, 2 answers" in capsys.readouterr().out


def test_the_page_is_its_owners_alone(home: Home, tmp_path: Path):
    page = tmp_path / "annexe.html"
    assert relais(home, "report", "--client", THIEF, "--page", str(page), *key(home)) == 0
    assert page.stat().st_mode & 0o777 == 0o600
    assert "Comptes exacts" in page.read_text("utf-8")


@pytest.mark.parametrize("options", [(), ("--client", THIEF, "--all")])
def test_a_report_is_about_one_client_or_all(home: Home, options: tuple[str, ...], capsys: pytest.CaptureFixture[str]):
    assert relais(home, "report", *options) == 1
    assert "say whose answers" in capsys.readouterr().err


def test_a_period_that_ends_before_it_begins_is_refused(home: Home, capsys: pytest.CaptureFixture[str]):
    assert relais(home, "report", "--all", *SINCE, "--until", "2024-01-01T00:00:00Z") == 1
    assert "--since lies after --until" in capsys.readouterr().err


def test_a_damaged_journal_is_reported_all_the_same(home: Home, capsys: pytest.CaptureFixture[str]):
    first, _ = segment_paths(home.journal)
    first.write_bytes(b"".join(first.read_bytes().splitlines(keepends=True)[:-1]))
    assert relais(home, "report", "--all", "--json") == 0
    captured = capsys.readouterr()
    assert "the journal is damaged" in captured.err
    assert json.loads(captured.out)["journal"]["whole"] is False


def test_the_people_concerned_are_listed_by_amc(home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "out"
    assert relais(home, "affected", "--client", THIEF, *key(home), *SINCE, "--out", str(out), "--json") == 0
    captured = capsys.readouterr()
    listed = json.loads(captured.out)
    assert (listed["people"], listed["nothing"], listed["complete"]) == ({FIRST: 1, SECOND: 1}, 2, True)
    (line,) = (out / f"{FIRST}.jsonl").read_text("utf-8").splitlines()
    assert (json.loads(line)["nir"], json.loads(line)["answers"]) == (nir(1), 4)
    assert nir(1) not in captured.out + captured.err
    # Not over what is there.
    assert relais(home, "affected", "--client", THIEF, *key(home), *SINCE, "--out", str(out)) == 1


def test_a_list_that_is_not_complete_says_so(home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    first, _ = segment_paths(home.journal)
    key_path(first).unlink()
    out = str(tmp_path / "out")
    assert relais(home, "affected", "--client", THIEF, *key(home), *SINCE, "--out", out) == 1
    assert f"not complete: segment {first.stem}" in capsys.readouterr().err


def test_a_list_from_a_damaged_journal_is_never_complete(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    first, _ = segment_paths(home.journal)
    # Everything that is left reads well; who was in what was cut, nobody can tell.
    first.write_bytes(first.read_bytes().splitlines(keepends=True)[0])
    out = tmp_path / "out"
    assert relais(home, "affected", "--client", THIEF, *key(home), *SINCE, "--out", str(out), "--json") == 1
    captured = capsys.readouterr()
    listed = json.loads(captured.out)
    assert (listed["complete"], listed["journal"]["whole"], listed["broken_off"]) == (False, False, {})
    assert (listed["people"], "the journal is damaged" in captured.err) == ({FIRST: 1, SECOND: 1}, True)


def test_files_are_sealed_to_recipients(home: Home, tmp_path: Path):
    recipients, out = tmp_path / "recipients.txt", tmp_path / "out"
    recipients.write_text(f"# who reads what\n990000001 {RECIPIENT}\n* {RECIPIENT} # all others\n")
    arguments = ["--client", THIEF, *key(home), *SINCE, "--out", str(out), "--recipients", str(recipients)]
    assert relais(home, "affected", *arguments) == 0
    assert sorted(file.name for file in out.iterdir()) == [f"{FIRST}.jsonl.age", f"{SECOND}.jsonl.age"]
    assert nir(1).encode() in open_age((out / f"{FIRST}.jsonl.age").read_bytes())


@pytest.mark.parametrize(
    "text", ["", "990000001", f"abc {RECIPIENT}", f"{FIRST} age1x", f"* {RECIPIENT}\n* {RECIPIENT}"]
)
def test_what_names_no_recipient_is_refused(tmp_path: Path, text: str):
    file = tmp_path / "recipients.txt"
    file.write_text(text)
    with pytest.raises(OperatorError):
        load_recipients(file)


def test_a_timeline_tells_starts_and_answers(home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert relais(home, "export", "--client", THIEF, *SINCE) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["event"] for event in events] == ["answers", "segment", "answers", "segment"]
    assert events[0]["data"]["answers"] == 4
    out = tmp_path / "timeline.jsonl"
    assert relais(home, "export", "--out", str(out)) == 0
    assert out.stat().st_mode & 0o777 == 0o600


def test_a_timeline_tells_what_the_sentinel_noticed_of_a_client(home: Home, capsys: pytest.CaptureFixture[str]):
    def said(minutes: int, *clients: str, held: str | None = None) -> Suspicion:
        at = NOW + dt.timedelta(minutes=minutes)
        return Suspicion(at, "750012346", clients, "slow", ("pace",), "pace 70 (expected 12)", held)

    store = SqliteSuspicions(home.fleet)
    store.add([said(5, THIEF, held="report"), said(6, HONEST), said(90, "*"), said(-9000, THIEF)])
    store.close()
    assert relais(home, "export", "--client", THIEF, *SINCE) == 0
    text = capsys.readouterr().out
    events = [json.loads(line) for line in text.splitlines()]
    kinds = ["answers", "segment", "suspicion", "answers", "segment", "suspicion"]
    assert [event["event"] for event in events] == kinds
    assert events[2]["data"] == {
        "clients": [THIEF],
        "step": "slow",
        "rules": ["pace"],
        "detail": "pace 70 (expected 12)",
        "held": "report",
    }
    assert "750012346" not in text
    assert relais(home, "export", *SINCE) == 0
    assert capsys.readouterr().out.count('"suspicion"') == 3
    assert relais(home, "export") == 0
    assert capsys.readouterr().out.count('"suspicion"') == 4


def test_a_lost_store_leaves_the_rest_of_the_timeline(home: Home, capsys: pytest.CaptureFixture[str]):
    home.fleet.unlink()
    assert relais(home, "export", *SINCE) == 0
    captured = capsys.readouterr()
    assert "what the sentinel noticed does not answer" in captured.err
    assert len(captured.out.splitlines()) == 4


def test_what_is_old_is_forgotten_and_the_journal_verifies(home: Home, capsys: pytest.CaptureFixture[str]):
    assert relais(home, "prune", "--older-than", "12mo", "--dry-run") == 0
    assert "2 segments with 10 entries would be forgotten" in capsys.readouterr().out
    assert len(segment_paths(home.journal)) == 2
    assert relais(home, "prune", "--older-than", "12mo", "--json") == 0
    assert json.loads(capsys.readouterr().out)["entries"] == 10
    assert segment_paths(home.journal) == []
    assert relais(home, "verify") == 0
    assert "whole: 10 entries, 2 heads, 2 segments, 2 of them pruned" in capsys.readouterr().out
    assert relais(home, "report", "--all", *SINCE) == 0
    assert "2 segments of this period are pruned: they are in no count" in capsys.readouterr().out
    assert relais(home, "report", "--all", "--since", "2024-02-05T10:00:00Z", "--json") == 0
    assert len(json.loads(capsys.readouterr().out)["pruned"]) == 1
    arguments = ["--client", THIEF, *key(home), *SINCE, "--out", str(home.root.parent / "out")]
    assert relais(home, "affected", *arguments) == 1
    assert capsys.readouterr().err.count("is pruned") == 2


def test_what_the_register_says_was_cut_stays(home: Home, capsys: pytest.CaptureFixture[str]):
    first, second = segment_paths(home.journal)
    first.write_bytes(first.read_bytes().splitlines(keepends=True)[0])
    assert relais(home, "prune", "--older-than", "12mo") == 1
    assert f"segment {first.stem} stays" in capsys.readouterr().err
    assert segment_paths(home.journal) == [first]
    assert not key_path(second).exists()


@pytest.mark.parametrize("text", ["5mo", "179d", "12", "1y", "-3mo", ""])
def test_less_than_six_months_is_refused(text: str):
    with pytest.raises(OperatorError):
        parse_age(text, NOW)


@pytest.mark.parametrize(
    ("now", "text", "before"),
    [
        ("2024-08-31T00:00:00+00:00", "6mo", "2024-02-29T00:00:00+00:00"),
        ("2025-08-31T00:00:00+00:00", "6mo", "2025-02-28T00:00:00+00:00"),
        ("2024-02-29T00:00:00+00:00", "12mo", "2023-02-28T00:00:00+00:00"),
        ("2024-12-15T00:00:00+00:00", "12mo", "2023-12-15T00:00:00+00:00"),
        ("2024-12-15T00:00:00+00:00", "200d", "2024-05-29T00:00:00+00:00"),
    ],
)
def test_months_are_those_of_the_calendar(now: str, text: str, before: str):
    assert parse_age(text, dt.datetime.fromisoformat(now)) == dt.datetime.fromisoformat(before)


def test_two_do_not_prune_at_once(home: Home, capsys: pytest.CaptureFixture[str]):
    with locked(home.journal / ".prune.lock", ALONE):
        assert relais(home, "prune", "--older-than", "12mo") == 1
    assert "another prune is under way" in capsys.readouterr().err
    assert len(segment_paths(home.journal)) == 2
