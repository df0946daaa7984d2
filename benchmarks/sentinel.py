"""A month of ordinary pharmacies and every thief of the list: whom the sentinel stops, and what each had read.

python benchmarks/sentinel.py [--pharmacies 2000] [--days 30] [--seed 1] [--start 10] [--only NAME …] [--json FILE]
"""

from __future__ import annotations

import argparse
import heapq
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from service.access.marks import Marker
from service.access.sentinel import SLOW_LOOKUPS_AN_HOUR, Action, Policy, Sentinel
from service.access.suspicion import Step
from stubs.month import DAY, Ask, Month, Pharmacy
from stubs.thieves import LIMITS, STRATEGIES

TICK_SECONDS = 10
PERIOD_DAYS = 28
FIRST_DAY = 738_914  # Monday, 2024-01-29: `local_hour` counts from there
BUDGET, BURST, REFILL = 800, 60, 5.0


class Thief:
    """What one strategy got: everything it asked and was answered, and the people it found."""

    def __init__(self, name: str, text: str, victims: list[Pharmacy], start: int) -> None:
        self.name, self.text, self.start = name, text, start
        self.victims = {victim.finess for victim in victims}
        self.first: int | None = None
        self.asked = 0
        self.read: set[tuple[str, str]] = set()
        self.stopped: dict[str, Action] = {}
        self.steps: list[Action] = []

    def row(self) -> dict[str, Any]:
        done = self.victims <= self.stopped.keys()
        last = max((action.at for action in self.stopped.values()), default=0)
        return {
            "strategy": self.name,
            "text": self.text,
            "caught": done,
            "hours": round((last - (self.first or 0)) / 3600, 2) if done else None,
            "asked": self.asked,
            "people_read": len(self.read),
            "rules": sorted({str(found.rule) for action in self.stopped.values() for found in action.findings}),
        }


class Bucket:
    """A token bucket by second."""

    def __init__(self, size: float, rate: float) -> None:
        self.size, self.rate, self.left, self.at = size, rate, size, 0

    def take(self, now: int) -> bool:
        self.left = min(self.size, self.left + (now - self.at) * self.rate)
        self.at = now
        if self.left < 1:
            return False
        self.left -= 1
        return True


class Simulation:
    def __init__(self, month: Month, thieves: list[Thief], policy: Policy) -> None:
        self.month, self.policy = month, policy
        self.sentinel = Sentinel(FIRST_DAY * 24, policy)
        self.thieves = {finess: thief for thief in thieves for finess in thief.victims}
        self.by_name = {thief.name: thief for thief in thieves}
        self.ordinary: list[Action] = []
        self.spent: Counter[tuple[str, str]] = Counter()
        self.buckets: dict[tuple[str, str], Bucket] = {}
        self.slow: dict[str, Bucket] = {}
        self.suspended: set[str] = set()
        self.lookups = 0
        self.closest: dict[str, float] = {}

    def run(self, stolen: list[Any]) -> None:
        pending = heapq.merge(*stolen)
        upcoming = next(pending, None)
        held_over: list[Ask] = []
        for day in range(self.month.days):
            self.begin(day)
            end = (day + 1) * DAY
            asks = held_over + self.month.asks(day)
            held_over = [ask for ask in asks if ask.second >= end]
            today = [ask for ask in asks if ask.second < end]
            while upcoming is not None and upcoming.second < end:
                today.append(upcoming)
                upcoming = next(pending, None)
            today.sort()
            self.day(day, today)

    def begin(self, day: int) -> None:
        self.marker = Marker(bytes([day]) * 32, bytes([100 + day // PERIOD_DAYS]) * 32)
        if day and day % PERIOD_DAYS == 0:
            self.sentinel.begin_period()
        self.spent.clear()
        for pharmacy in self.month.pharmacies:
            sheet = self.sentinel.sheet(pharmacy.finess)
            if sheet is not None and pharmacy.finess not in self.thieves:
                self.closest[pharmacy.finess] = max(self.closest.get(pharmacy.finess, 0), sheet.habit.carried)

    def day(self, day: int, asks: list[Ask]) -> None:
        tick = hour = 0
        for ask in asks:
            if ask.second // TICK_SECONDS != tick:
                self.act(self.sentinel.judge(ask.second))
                tick = ask.second // TICK_SECONDS
            if ask.second // 3600 != hour:
                hour = ask.second // 3600
                self.act(self.sentinel.begin_hour(FIRST_DAY * 24 + hour, ask.second))
            if self.admit(ask):
                self.count(ask)
        self.act(self.sentinel.judge((day + 1) * DAY))

    def admit(self, ask: Ask) -> bool:
        if ask.finess in self.suspended:
            return False
        key = ask.client, ask.finess
        if ask.thief:
            bucket = self.buckets.setdefault(key, Bucket(BURST, REFILL))
            if self.spent[key] >= BUDGET or not bucket.take(ask.second):
                return False
        slow = self.slow.get(ask.finess)
        if slow is not None and self.sentinel.step(ask.finess) is Step.SLOW and not slow.take(ask.second):
            return False
        self.spent[key] += 1
        return True

    def count(self, ask: Ask) -> None:
        self.lookups += 1
        mark = self.marker.nir(ask.nir, ask.birth_date, 1, unknown=ask.unknown, canary=ask.canary)
        self.sentinel.count(ask.client, ask.finess, mark)
        if ask.thief:
            thief = self.by_name[ask.thief]
            thief.first = ask.second if thief.first is None else thief.first
            thief.asked += 1
            if not ask.unknown:
                thief.read.add((ask.nir, ask.birth_date))

    def act(self, actions: list[Action]) -> None:
        for action in actions:
            if action.held is None and action.step is Step.SUSPEND:
                self.suspended.add(action.finess)
            if action.held is None and action.step is Step.SLOW:
                self.slow[action.finess] = Bucket(5, SLOW_LOOKUPS_AN_HOUR / 3600)
            thief = self.thieves.get(action.finess)
            if thief is None or action.at < thief.start * DAY:
                self.ordinary.append(action)
                continue
            thief.steps.append(action)
            if action.held is None and action.step is Step.SUSPEND:
                thief.stopped[action.finess] = action


def prepare(month: Month, start: int, only: list[str], seed: int) -> tuple[list[Thief], list[Any]]:
    """Every thief with victims of their own, who are of a middling size and open."""
    chance = random.Random(seed + 99)  # noqa: S311 - the same thieves in every run
    able = [p for p in month.pharmacies if 60 <= p.daily <= 200 and ordinary(p)]
    chance.shuffle(able)
    thieves, stolen = [], []
    for number, strategy in enumerate(STRATEGIES + LIMITS):
        victims, able = able[: strategy.victims], able[strategy.victims :]
        if only and strategy.name not in only:
            continue
        first = start + number % 5
        thieves.append(Thief(strategy.name, strategy.text, victims, first))
        own = random.Random(seed + number)  # noqa: S311 - the same
        asks = strategy.questions(victims, first, month.days, own)
        stolen.append(named(asks, strategy.name))
    return thieves, stolen


def ordinary(pharmacy: Pharmacy) -> bool:
    return not (pharmacy.closed or pharmacy.joins or pharmacy.rural or pharmacy.never_closes)


def named(asks: Iterator[Ask], name: str) -> Iterator[Ask]:
    for ask in asks:
        yield ask._replace(thief=name)


def table(thieves: list[Thief]) -> str:
    lines = [
        "| strategy | what the thief does | suspended after | asked | people read | by |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in (thief.row() for thief in thieves):
        hours = row["hours"]
        after = "**not caught**" if hours is None else f"{hours:.1f} h" if hours >= 1 else f"{hours * 60:.1f} min"
        lines.append(
            f"| {row['strategy']} | {row['text']} | {after} | {row['asked']} | {row['people_read']} "
            f"| {', '.join(row['rules'])} |"
        )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pharmacies", type=int, default=2_000)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--start", type=int, default=8, help="the day on which the first thieves begin")
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    began = time.process_time()
    month = Month(options.pharmacies, options.days, options.seed)
    thieves, stolen = prepare(month, options.start, options.only, options.seed)
    simulation = Simulation(month, thieves, Policy())
    simulation.run(stolen)
    steps = Counter((action.step.name.lower(), str(action.held)) for action in simulation.ordinary)
    disturbed = {a.finess for a in simulation.ordinary if a.held is None and a.step > Step.NOTE}
    print(table(thieves))
    print(f"\n{len(month.pharmacies)} pharmacies, {month.days} days, {simulation.lookups} lookups, seed {options.seed}")
    print(f"ordinary pharmacies slowed or suspended: {len(disturbed)}; steps (held): {dict(steps)}")
    nearest = sorted(simulation.closest.items(), key=lambda item: -item[1])[:12]
    print("most strangers carried over by ordinary ones:", [(name, round(most, 2)) for name, most in nearest])
    print(f"{time.process_time() - began:.0f} s of processor time")
    for action in simulation.ordinary:
        if action.step > Step.NOTE:
            print(action.at // DAY, action.at % DAY // 3600, action, file=sys.stderr)
    if options.json:
        rows = [thief.row() for thief in thieves]
        options.json.write_text(
            json.dumps({"seed": options.seed, "disturbed": len(disturbed), "thieves": rows}, indent=1)
        )
    beyond = {strategy.name for strategy in LIMITS}
    return 1 if disturbed or not all(thief.row()["caught"] for thief in thieves if thief.name not in beyond) else 0


if __name__ == "__main__":
    sys.exit(main())
