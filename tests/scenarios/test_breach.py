"""A stolen key reads for two days across workers, rotations and a kill: the officer finds exactly what was planted."""

from __future__ import annotations

import asyncio
import datetime as dt
import itertools
import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fleet import Installation
from tests.scenarios.evidence import verify_journal
from tests.scenarios.planted import (
    Caller,
    Json,
    Person,
    Truth,
    ask_at_once,
    by_member,
    by_nir,
    concerned,
    summary,
)
from tests.scenarios.shifted_clock import SteppingClock

DAY = 86_400
STOLEN, OTHER, HUB = "pharmacie-volee", "pharmacie-voisine", "concentrateur"
#: Neither budgets nor the sentinel end what is to be found here.
PLENTY = ("--daily", "100000", "--burst", "100000", "--unknown", "100000", "--watch", "report")
FICTITIOUS = [
    {"beneficiary": {"nir": nir, "birth_date": "1990-01-01", "birth_rank": 1}}
    for nir in ("2555555123030", "2555555123042")
]


class Breach:
    """The story, told once; `theft` and `calm` are instants: the key is stolen, and no answer was lost after it."""

    def __init__(self, site: Installation, folder: Path) -> None:
        self.site, self.truth = site, Truth()
        self.clock = SteppingClock(folder / "clock")
        site.environment |= self.clock.environment()
        self.theft = self.calm = self.end = ""
        self.folder = folder
        self.rows = list({(row["nir"], row["birth_date"], row["birth_rank"]): row for row in site.rows()}.values())

    def caller(self, client: str, finess: str | None = None) -> Caller:
        return Caller(self.site, self.clock, self.truth, client, finess)

    def instant(self) -> str:
        """Now, as the servers see it; what was answered before and what will be lie apart."""
        time.sleep(0.05)
        now = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=self.clock.seconds)
        time.sleep(0.05)
        return now.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def ordinary(self, first: int) -> list[tuple[Caller, Iterable[Json]]]:
        """Honest callers, who ask about some of the same people."""
        return [
            (self.caller(OTHER), map(by_nir, self.rows[first + 50 : first + 150])),
            (self.caller(HUB, "990000777"), map(by_nir, self.rows[first + 20 : first + 90])),
        ]

    def scraped(self, first: int) -> Iterator[Json]:
        """The thief's questions: people by NIR, again by member number, mistaken birth dates, fictitious numbers."""
        known = self.rows[first : first + 300]
        yield from map(by_nir, known)
        yield from (by_member(row) for row in known[:80] if row["amc"] and row["member"])
        yield from (by_nir(row, birth_date="1901-01-01") for row in known[40:80])
        yield from FICTITIOUS
        yield from map(by_nir, reversed(known[:40]))

    async def first_day(self) -> None:
        """The owner of the key, then the thief, under whom a worker is killed."""
        self.site.start("rights", workers=3)
        await ask_at_once((self.caller(STOLEN), map(by_nir, self.rows[:60])), *self.ordinary(0))
        self.theft = self.instant()
        killed = asyncio.create_task(self._kill_a_worker())
        await ask_at_once((self.caller(STOLEN), self.scraped(40)), *self.ordinary(200))
        await killed

    async def _kill_a_worker(self) -> None:
        """Without warning, while the thief reads."""
        before, victim = len(self.truth.told), self.site.workers()[1]
        await until(lambda: len(self.truth.told) >= before + 60)
        os.kill(victim, signal.SIGKILL)
        await until(lambda: len(self.site.workers()) == 3 and victim not in self.site.workers())

    async def second_day(self) -> None:
        """First a restart, then midnight while the servers run, then the suspension while the thief reads."""
        self.calm = self.instant()
        lost = len(self.truth.lost)
        assert self.site.stop("rights") == 0
        self.site.start("rights", workers=3)
        await ask_at_once((self.caller(STOLEN), self.scraped(100)))
        self.clock.step(DAY)
        await ask_at_once((self.caller(STOLEN), self.scraped(250)), *self.ordinary(400))
        suspended = asyncio.create_task(asyncio.to_thread(self._suspend))
        # It ends when it is refused.
        await ask_at_once((self.caller(STOLEN), itertools.cycle([*self.scraped(600)])))
        await suspended
        told = len(self.truth.of(STOLEN))
        await ask_at_once((self.caller(STOLEN), self.scraped(0)))
        assert len(self.truth.of(STOLEN)) == told
        assert set(self.truth.refused) == {"/problems/client_suspended"}
        assert len(self.truth.lost) == lost
        self.end = self.instant()
        assert self.site.stop("rights") == 0

    def _suspend(self) -> None:
        self.site.relais("client", "suspend", STOLEN, "--reason", "clé volée")

    @property
    def uncertain(self) -> list[Person | None]:
        """Of whom a lost answer may have been recorded through the stolen key."""
        return [person for client, person in self.truth.lost if client == STOLEN]


async def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """While others ask."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what it waits for happens in other processes
            await asyncio.sleep(0.005)


@pytest.fixture
def breach(site: Installation, tmp_path: Path) -> Breach:
    site.register(STOLEN, "pharmacy", "990000111", options=PLENTY)
    site.register(OTHER, "pharmacy", "990000222", options=PLENTY)
    site.register(HUB, "hub", "990000777", "990000778", options=PLENTY)
    return Breach(site, tmp_path)


class Desk:
    """The officer's machine: a copy of the journal, public keys, and the private one."""

    def __init__(self, breach: Breach) -> None:
        self.site, self.folder = breach.site, breach.folder / "desk"
        shutil.copytree(self.site.home / "journal", self.folder / "journal")
        shutil.copy(self.site.home / "keys" / "receipt.pub.jwk", self.folder / "receipt.pub.jwk")
        self.key = shutil.copy(self.site.home / "keys" / "officer.jwk", breach.folder / "officer.jwk")
        (self.folder / "relais.toml").write_text('[keys]\nreceipt = "receipt.pub.jwk"\n')

    def report(self, *words: str, key: bool) -> Any:
        opened = ("--officer-key", str(self.key)) if key else ()
        said = self.site.relais(
            "journal", "report", *words, *opened, "--json", "--home", str(self.folder), at_home=False
        )
        found = json.loads(said.stdout)
        assert (found["exact"], found["journal"]["whole"]) == (key, True)
        assert (found["broken_off"], found["pruned"]) == ({}, [])
        return found

    def affected(self, out: str, *words: str) -> dict[str, list[Any]]:
        where = self.folder / out
        options = ["--officer-key", str(self.key), "--out", str(where), "--home", str(self.folder)]
        self.site.relais("journal", "affected", *words, *options, at_home=False)
        return {path.stem: [json.loads(line) for line in path.read_text().splitlines()] for path in where.iterdir()}


def test_the_officer_finds_exactly_what_was_planted(breach: Breach):
    asyncio.run(breach.first_day())
    asyncio.run(breach.second_day())
    site, truth = breach.site, breach.truth
    stolen = truth.of(STOLEN, breach.theft)
    assert len(stolen) > 1000
    assert len({one.journal for one in stolen}) >= 3 + 3 + 3
    report = verify_journal(site, "torn_tail")
    assert len(truth.told) <= report["entries"] <= len(truth.told) + len(truth.lost)
    desk = Desk(breach)
    before_the_theft(desk, breach)
    nothing_lost(desk, breach)
    whole_theft(desk, breach)
    everybody(desk, breach)
    timeline(breach)
    forgotten(breach)


def before_the_theft(desk: Desk, breach: Breach) -> None:
    """What the owner asked is not the thief's."""
    mine = breach.truth.of(STOLEN, until=breach.theft)
    for exact in (True, False):
        found = desk.report("--client", STOLEN, "--until", breach.theft, key=exact)
        assert found["total"] == {"client": None, **summary(mine, exact=exact)}
    assert len(mine) == 60


def nothing_lost(desk: Desk, breach: Breach) -> None:
    """Where every answer arrived, every number of the report is the planted one."""
    stolen = breach.truth.of(STOLEN, breach.calm)
    assert len({one.answer["for"]["client"] for one in stolen}) == 1
    for exact in (True, False):
        found = desk.report("--client", STOLEN, "--since", breach.calm, key=exact)
        assert found["total"] == {"client": None, **summary(stolen, exact=exact)}
        assert found["clients"] == [{"client": STOLEN, **summary(stolen, exact=exact)}]
    assert len(summary(stolen, exact=True)["days"]) == 2
    listed(desk.affected("calm", "--client", STOLEN, "--since", breach.calm), concerned(stolen), [])


def whole_theft(desk: Desk, breach: Breach) -> None:
    """With the killed worker: people exactly, answers but for those that may have been recorded and never arrived."""
    stolen, uncertain = breach.truth.of(STOLEN, breach.theft), breach.uncertain
    planted = summary(stolen, exact=True)
    found = desk.report("--client", STOLEN, "--since", breach.theft, "--until", breach.end, key=True)["total"]
    assert found["people"] == planted["people"]
    assert planted["answers"] <= found["answers"] <= planted["answers"] + len(uncertain)
    bound = desk.report("--client", STOLEN, "--since", breach.theft, key=False)["total"]
    planted = summary(stolen, exact=False)
    assert planted["people"]["asked"] <= bound["people"]["asked"] <= planted["people"]["asked"] + len(uncertain)
    assert bound["people"]["asked"] > found["people"]["asked"]
    listed(desk.affected("all", "--client", STOLEN, "--since", breach.theft), concerned(stolen), uncertain)


def listed(files: dict[str, list[Any]], planted: dict[str, dict[Person, Any]], uncertain: list[Person | None]) -> None:
    """Each AMC's file holds its people, each once, with what was told of them, and nobody else."""
    assert files.keys() == planted.keys()
    for amc, lines in files.items():
        assert len(lines) == len(planted[amc])
        for line in lines:
            asked = line["nir"] or line["member"]
            person = (asked, "" if line["nir"] else amc, line["birth_date"], line["birth_rank"])
            expected = planted[amc][person]
            assert line["amc"] == amc
            assert set(line["members"]) == expected["members"]
            assert set(line["categories"]) == expected["categories"]
            assert 0 <= line["answers"] - len(expected["at"]) <= uncertain.count(person)
            if person not in uncertain:
                assert (line["first"], line["last"]) == (min(expected["at"]), max(expected["at"]))


def everybody(desk: Desk, breach: Breach) -> None:
    """Each client apart, and all together, in the time without losses."""
    found = desk.report("--all", "--since", breach.calm, key=True)
    assert found["total"] == {"client": None, **summary(breach.truth.of(None, breach.calm), exact=True)}
    by_client = {one.pop("client"): one for one in found["clients"]}
    assert by_client == {
        client: summary(breach.truth.of(client, breach.calm), exact=True) for client in (STOLEN, OTHER, HUB)
    }


def timeline(breach: Breach) -> None:
    """The same counts by hour, the suspension, and nobody's identity."""
    said = breach.site.relais("journal", "export", "--client", STOLEN, "--since", breach.calm).stdout
    events = [json.loads(line) for line in said.splitlines()]
    answers = [event["data"] for event in events if event["event"] == "answers"]
    stolen = breach.truth.of(STOLEN, breach.calm)
    assert sum(one["answers"] for one in answers) == len(stolen)
    assert len(answers) == len({one.at[:13] for one in stolen})
    (suspension,) = (event for event in events if event["event"] == "order")
    assert (suspension["data"]["kind"], suspension["data"]["scope"]) == ("client.suspend", STOLEN)
    assert suspension["data"]["reason"] == "clé volée"
    assert max(one.at for one in stolen) < breach.end
    assert sum(event["event"] == "segment" for event in events) == 3 + 3


def forgotten(breach: Breach) -> None:
    """After a year and more: pruned, still verified, still proved by its heads, and told of by nobody any more."""
    site = breach.site
    entries = json.loads(site.relais("journal", "verify", "--json").stdout)["entries"]
    receipt = breach.folder / "answer.json"
    receipt.write_bytes(breach.truth.of(STOLEN, breach.calm)[0].body)
    breach.clock.step(400 * DAY)
    pruned = json.loads(site.relais("journal", "prune", "--older-than", "12mo", "--json").stdout)
    assert (pruned["entries"], pruned["kept"]) == (entries, {})
    assert not [*(site.home / "journal").glob("*.jsonl"), *(site.home / "journal").glob("*.key")]
    after = verify_journal(site, "torn_tail")
    assert (after["entries"], after["pruned"]) == (entries, after["segments"])
    assert "its head stands in the journal" in site.relais("receipt", "verify", str(receipt)).stdout
    said = site.relais("journal", "report", "--client", STOLEN, "--since", breach.calm, "--json").stdout
    found = json.loads(said)
    assert found["total"]["answers"] == 0
    assert len(found["pruned"]) == 6
    words = ["--officer-key", str(site.home / "keys" / "officer.jwk"), "--out", str(breach.folder / "late")]
    late = site.relais("journal", "affected", "--client", STOLEN, "--since", breach.calm, *words, status=1)
    assert "is pruned" in late.stderr
