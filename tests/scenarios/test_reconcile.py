"""The upstream is back and knows better: every difference is reported, none invented, nobody's number kept."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import json
import re
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

import orjson
import pytest

from stubs.connection import Pharmacy, Signer
from tests.fleet import REPOSITORY, Installation, installation, wait_until
from tests.scenarios.evidence import identities_found
from tests.upstreams import upstream

PEOPLE: Final = 10_000
CHANGED_PERCENT: Final = 8
AT_ONCE: Final = 32
Row = dict[str, Any]
Person = tuple[str, str, int]


class Answered(NamedTuple):
    """An answer as the pharmacy got it: about whom, where it is recorded, and the contracts it shows."""

    person: Person
    place: tuple[str, int]
    contracts: list[dict[str, Any]]


def today() -> dt.date:
    return dt.datetime.now(ZoneInfo("Europe/Paris")).date()


def person_of(row: Mapping[str, Any]) -> Person:
    return row["nir"][:13], row["birth_date"], row["birth_rank"]


def by_person(rows: Iterable[Row]) -> dict[Person, list[Row]]:
    people: defaultdict[Person, list[Row]] = defaultdict(list)
    for row in rows:
        people[person_of(row)].append(row)
    return people


def changed_rows(site: Installation, day: dt.date) -> list[Row]:
    """The same people a day later, some of them changed, as the stand-in of the upstream will know them."""
    made = json.loads((site.home / "demo" / "population.json").read_bytes())
    out = site.home / "demo" / "changed.ndjson"
    words = ["--people", str(made["people"]), "--seed", str(made["seed"]), "--today", day.isoformat()]
    words += ["--changed-percent", str(CHANGED_PERCENT), "--rows", str(out), "--policy", str(out.with_suffix(".toml"))]
    subprocess.run([sys.executable, "-m", "stubs.population", *words], cwd=REPOSITORY, check=True, capture_output=True)
    return [orjson.loads(line) for line in out.read_bytes().splitlines()]


async def ask(site: Installation, client: str, people: Iterable[Person], day: dt.date) -> list[Answered]:
    """A pharmacy asks about all of them."""
    turn = asyncio.Semaphore(AT_ONCE)
    signer = Signer(client, site.key(client))
    async with Pharmacy(f"http://127.0.0.1:{site.ports['rights']}", signer, AT_ONCE) as pharmacy:

        async def about(person: Person) -> Answered:
            beneficiary = dict(zip(("nir", "birth_date", "birth_rank"), person, strict=True))
            async with turn:
                reply = await pharmacy.ask(orjson.dumps({"beneficiary": beneficiary, "service_date": day.isoformat()}))
            assert reply.status == 200, reply.body
            response = orjson.loads(reply.body)
            return Answered(person, place_of(response["receipt"]), response["answer"]["contracts"])

        return await asyncio.gather(*map(about, people))


def place_of(receipt: Mapping[str, Any]) -> tuple[str, int]:
    payload = receipt["head"].split(".")[1]
    head = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return head["journal"], head["first"] + receipt["index"]


def truth(row: Row, day: str) -> str:
    """Whether a contract is open on a day, read off its row."""
    suspended = any(since <= day and (until is None or until >= day) for since, until in row["suspended"])
    ended = row["closed_on"] is not None and row["closed_on"] <= day
    if ended or suspended or day < row["valid_from"]:
        return "closed"
    if row["domains"] and "PHAR" not in row["domains"]:
        return "unknown"
    return "closed" if row["valid_to"] is not None and row["valid_to"] < day else "open"


VERDICTS: Final = {
    ("open", "closed"): "wrongly_open",
    ("closed", "open"): "wrongly_closed",
    ("unknown", "open"): "unknown_now_open",
    ("unknown", "closed"): "unknown_now_closed",
    ("unknown", "unknown"): "still_unknown",
    ("open", "unknown"): "open_now_unknown",
    ("closed", "unknown"): "closed_now_unknown",
}


def differences(answered: Answered, rows: list[Row], day: str) -> Iterator[tuple[str, str]]:
    """(AMC, verdict) of every contract of a person, from the answer and the upstream's rows."""
    amcs = {one["amc"] for one in answered.contracts} | {row["amc"] for row in rows}
    for amc in amcs:
        ours = Counter(one["status"] for one in answered.contracts if one["amc"] == amc)
        theirs = Counter(truth(row, day) for row in rows if row["amc"] == amc)
        for status, count in (ours & theirs).items():
            yield from [(amc, "still_unknown" if status == "unknown" else "confirmed")] * count
        left, told = [*(ours - theirs).elements()], [*(theirs - ours).elements()]
        length = max(len(left), len(told))
        left += ["unknown"] * (length - len(left))
        told += ["unknown"] * (length - len(told))
        # Otherwise what belongs together would be a matter of taste.
        assert len({*left}) <= 1 or len({*told}) <= 1
        yield from ((amc, VERDICTS[pair]) for pair in zip(left, told, strict=True))
    if not amcs:
        yield "none", "still_unknown"


def other_rates(answered: Answered, rows: list[Row], day: str) -> int:
    """How many contracts are open on both sides and pay differently."""
    ours = {one["amc"]: one["rates"] for one in answered.contracts if one["status"] == "open"}
    theirs = {row["amc"]: row["rates"] for row in rows if truth(row, day) == "open"}
    return sum(ours[amc] != theirs[amc] for amc in ours.keys() & theirs.keys())


def out_of(site: Installation) -> Path:
    """In the home, where the search for identities looks."""
    return site.home / "reconciliation"


def words(site: Installation, rate: int) -> list[str]:
    key = str(site.home / "keys" / "officer.jwk")
    return ["reconcile", "--officer-key", key, "--out", str(out_of(site)), "--rate", str(rate)]


def compared(site: Installation) -> int:
    path = out_of(site) / "progress.jsonl"
    return path.read_bytes().count(b"\n") - 1 if path.exists() else 0


@pytest.fixture
def large(tmp_path: Path) -> Iterator[Installation]:
    with installation(tmp_path / "home", PEOPLE) as made:
        plenty = [word for option in ("--daily", "--unknown", "--burst") for word in (option, "100000")]
        made.register("counter", "pharmacy", "990000903", options=plenty)
        yield made


def kill_half_way(site: Installation, total: int) -> None:
    """Begin, and be ended without warning in the middle."""
    process = subprocess.Popen(
        [sys.executable, "-m", "service", *words(site, 400), "--home", str(site.home)],
        cwd=REPOSITORY,
        env=site.environ(),
        stdin=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: compared(site) > total // 10, 90, lambda: f"only {compared(site)} compared")
        assert re.search(r"Max core file size +0 ", Path(f"/proc/{process.pid}/limits").read_text())
    finally:
        process.kill()
        process.wait()
    assert compared(site) < total


def test_ten_thousand_answers_against_a_changed_upstream(large: Installation):
    day = today()
    after = by_person(changed_rows(large, day))
    before = by_person(large.rows())
    tomorrow = day + dt.timedelta(days=1)
    large.start("rights", workers=2)
    answered = asyncio.run(ask(large, "counter", [*before, *(after.keys() - before.keys())], tomorrow))
    large.stop("rights")
    assert len(answered) > PEOPLE

    expected: dict[str, Counter[str]] = defaultdict(Counter)
    listed: dict[str, set[tuple[str, int]]] = defaultdict(set)
    rates = 0
    for one in answered:
        rows = after.get(one.person, [])
        rates += other_rates(one, rows, tomorrow.isoformat())
        for amc, verdict in differences(one, rows, tomorrow.isoformat()):
            expected[amc][verdict] += 1
            listed[verdict].add(one.place)
    # What was planted: 2 % of the people each closed, gone, joined, and paid otherwise.
    planted = PEOPLE * CHANGED_PERCENT // 400
    totals = sum(expected.values(), Counter[str]())
    for verdict in ("wrongly_open", "open_now_unknown", "unknown_now_open"):
        assert totals[verdict] > planted // 2, verdict
    assert rates > planted // 2

    with upstream(large.home.parent, "--rows", large.home / "demo" / "changed.ndjson") as visiodroits:
        large.environment["RELAIS_UPSTREAM_URL"] = visiodroits.url
        kill_half_way(large, len(answered))
        assert identities_found(large) == []
        large.relais(*words(large, 5000))
        asked = visiodroits.counts()["asked"]
    assert asked <= len(answered) + 64, "a question was asked twice that had been answered"

    report = json.loads((out_of(large) / "report.json").read_bytes())
    found = {one["amc"]: {name: count for name, count in one["verdicts"].items() if count} for one in report["amcs"]}
    assert found == {amc: dict(counts) for amc, counts in expected.items()}
    assert report["verdicts"]["wrongly_closed"] == 0
    assert report["other_rates"] == rates
    assert report["unanswered"] == []
    assert report["answers"] == report["questions"] == len(answered)
    assert {(one["journal"], one["n"]) for one in report["wrongly_open"]} == listed["wrongly_open"]
    assert report["journal"]["whole"]
    assert "No right was wrongly closed." in (out_of(large) / "report.html").read_text()
    assert identities_found(large) == []


@pytest.mark.parametrize("how", ["killed", "wrong_person"])
def test_an_upstream_that_fails_again_stops_it_and_it_goes_on(site: Installation, how: str):
    site.start("rights", workers=1)
    people = list(by_person(site.rows()))[:300]
    asyncio.run(ask(site, "demo-pharmacy", people, today()))
    site.stop("rights")
    with upstream(site.home.parent, "--rows", site.home / "demo" / "rows.ndjson") as visiodroits:
        site.environment["RELAIS_UPSTREAM_URL"] = visiodroits.url
        if how == "killed":
            visiodroits.kill()
        else:
            visiodroits.faults(**{how: True})
        said = site.relais(*words(site, 1000), status=3)
        assert said.stderr.count("\n") == 1
        assert "the upstream keeps failing" in said.stderr
        assert "0 of 300 answers are compared; the same command goes on from there" in said.stderr
        assert not (out_of(site) / "report.json").exists()
        if how == "killed":
            visiodroits.start()
        else:
            visiodroits.mend()
        site.relais(*words(site, 1000))
    assert json.loads((out_of(site) / "report.json").read_bytes())["answers"] == 300


def test_an_officer_needs_a_copy_of_the_journal_and_public_keys_only(site: Installation, tmp_path: Path):
    site.start("rights", workers=1)
    asyncio.run(ask(site, "demo-pharmacy", list(by_person(site.rows()))[:20], today()))
    site.stop("rights")
    desk = tmp_path / "desk"
    shutil.copytree(site.home / "journal", desk / "journal")
    shutil.copy(site.home / "keys" / "receipt.pub.jwk", desk / "receipt.pub.jwk")
    key = shutil.copy(site.home / "keys" / "officer.jwk", tmp_path / "officer.jwk")
    with upstream(tmp_path, "--rows", site.home / "demo" / "rows.ndjson") as visiodroits:
        (desk / "relais.toml").write_text(
            f'[keys]\nreceipt = "receipt.pub.jwk"\n[upstream]\nurl = "{visiodroits.url}"\n'
        )
        said = ["reconcile", "--officer-key", str(key), "--out", str(tmp_path / "gap"), "--home", str(desk), "--json"]
        report = json.loads(site.relais(*said, at_home=False).stdout)
    assert report == json.loads((tmp_path / "gap" / "report.json").read_bytes())
    assert report["answers"] == 20
    assert report["journal"] == {"whole": True, "damages": []}
