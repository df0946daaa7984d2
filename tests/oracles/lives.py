"""Random contracts, each after an event or two of its life, with dates on the days where the table changes its mind.

Dates are not spread evenly: nearly all fall on the service date, the extract's date, or a day that a policy's number
of days leads to from there, give or take one.
"""

from __future__ import annotations

import datetime as dt
import random
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

Json = dict[str, Any]
PARIS = ZoneInfo("Europe/Paris")
COVERED = ["0000000101", "0000000102", "0000000103"]
BENEFITS = ["PH1", "PH2", "PH4", "PH7"]


def days(count: int) -> dt.timedelta:
    return dt.timedelta(days=count)


def text(day: dt.date | None) -> str | None:
    return None if day is None else day.isoformat()


def extract_date(known: Json, number: str) -> dt.date:
    made = dt.datetime.fromisoformat(known["amcs"][number]["extracted_at"])
    return made.astimezone(PARIS).date()


class Scene(NamedTuple):
    """What a contract's dates are drawn around: d = service date, e = extract of its AMC, and the AMC's policy."""

    rng: random.Random
    d: dt.date
    e: dt.date
    policy: Json

    def near(self, *anchors: dt.date) -> dt.date:
        """One of the anchors, give or take a day."""
        return self.rng.choice(anchors) + days(self.rng.choice([-1, 0, 0, 1]))

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability


def contract(rng: random.Random, number: str, member: str, rank: int) -> Json:
    """A contract with nothing special about it: open on any day of these years."""
    return {
        "amc": number,
        "member": member,
        "csr": rng.choice(["", "A12", "ZZ9"]),
        "convention": rng.choice(["RO", "AC"]),
        "payer_rank": rank,
        "valid_from": "2022-01-01",
        "valid_to": rng.choice([None, "2026-12-31"]),
        "card_valid_to": rng.choice([None, "2025-12-31", "2026-12-31"]),
        "closed_on": None,
        "suspended": [],
        "responsible": rng.random() < 0.8,
        "domains": rng.choice([[], [], ["PHAR"], ["OPTI", "PHAR"]]),
        "rates": {benefit: rng.choice([0, 65, 100]) for benefit in BENEFITS if rng.random() < 0.8},
        "rate_base": rng.choice(["TR", "TM"]),
    }


def terminated(scene: Scene, row: Json) -> None:
    row["closed_on"] = text(scene.near(scene.d, scene.d - days(10), scene.e, scene.e - days(60)))


def suspended(scene: Scene, row: Json) -> None:
    for _ in range(scene.rng.choice([1, 1, 2])):
        since = scene.near(scene.d, scene.d - days(5), scene.e - days(60))
        until = scene.rng.choice([None, since, max(since, scene.near(scene.d, scene.e)), since + days(400)])
        row["suspended"].append([text(since), text(until)])


def not_started(scene: Scene, row: Json) -> None:
    row["valid_from"] = text(scene.near(scene.d, scene.d + days(1), scene.d + days(40)))


def ended(scene: Scene, row: Json) -> None:
    """An online end close enough for the question whether the contract was renewed."""
    grace = days(scene.policy["renewal_grace_days"])
    end = scene.near(scene.d, scene.d - grace, scene.e, scene.e - grace, scene.e - grace - days(70), scene.d - days(3))
    row["valid_to"] = text(end)
    row["card_valid_to"] = text(scene.rng.choice([None, end, end, end - days(1), end + days(1), end + days(200)]))


def renewing(scene: Scene, row: Json) -> None:
    """An online end after the extract and before the day asked for, wherever the two leave room."""
    room = max(0, (scene.d - scene.e).days - 1)
    end = scene.d - days(1 + scene.rng.randint(0, min(room, scene.policy["renewal_grace_days"])))
    row["valid_to"] = text(end)
    row["card_valid_to"] = text(scene.rng.choice([None, end]))


def other_domain(scene: Scene, row: Json) -> None:
    row["domains"] = scene.rng.choice([["HOSP"], ["OPTI"], ["PHAR"]])


THEMES = [terminated, terminated, suspended, suspended, not_started, ended, ended, renewing, other_domain]


def coloured(scene: Scene, row: Json) -> Json:
    """The contract after one event of its life, sometimes two, sometimes none."""
    for _ in range(scene.rng.choice([0, 1, 1, 1, 2])):
        scene.rng.choice(THEMES)(scene, row)
    if row["valid_to"] is not None and row["valid_to"] < row["valid_from"]:
        row["valid_to"] = row["valid_from"]  # a row that ends before it begins is refused at build
    return row


def scene_of(rng: random.Random, known: Json, d: dt.date, number: str) -> Scene:
    return Scene(rng, d, extract_date(known, number), known["amcs"][number]["stand_in"])


def successor(scene: Scene, former: Json, number: str) -> Json:
    """Another contract that begins about where the former ends, and may itself be short."""
    begins = dt.date.fromisoformat(former["valid_to"]) + days(scene.rng.choice([0, 1, 1, 2]))
    row = contract(scene.rng, number, "B2", former["payer_rank"])
    row |= {"valid_from": text(begins), "domains": []}
    if scene.chance(0.3):
        row["valid_to"] = text(max(begins, scene.d - days(1)))
        row["card_valid_to"] = None
    return row


def change_of_insurer(rng: random.Random, known: Json, d: dt.date) -> list[Json]:
    """A contract whose renewal would be presumed, and the one that may have taken its place."""
    oldest = min(COVERED, key=lambda number: extract_date(known, number))
    scene = scene_of(rng, known, d, oldest)
    former = contract(rng, oldest, "A1", 1)
    renewing(scene, former)
    rows = [former, successor(scene, former, rng.choice(COVERED))]
    if scene.chance(0.3):
        rows.append(coloured(scene, contract(rng, oldest, "A1", 1)))
    return rows


def relay(rng: random.Random, known: Json, d: dt.date) -> list[Json]:
    """Two contracts under one key, the second from about the day that closes the first."""
    number = rng.choice(COVERED)
    scene = scene_of(rng, known, d, number)
    first, second = contract(rng, number, "A1", 1), contract(rng, number, "A1", 1)
    terminated(scene, first)
    second["valid_from"] = text(dt.date.fromisoformat(first["closed_on"]) + days(rng.choice([-1, -1, 0, 1])))
    if scene.chance(0.5):
        first["valid_to"] = text(scene.near(dt.date.fromisoformat(second["valid_from"])))
    return [first, second]


def unrelated(rng: random.Random, known: Json, d: dt.date) -> list[Json]:
    rows: list[Json] = []
    for _ in range(rng.choice([0, 1, 1, 1, 2, 2, 3])):
        number, member, rank = rng.choice(COVERED), rng.choice(["A1", "A10", "B2"]), rng.choice([1, 1, 1, 2, 3])
        rows.append(coloured(scene_of(rng, known, d, number), contract(rng, number, member, rank)))
    if rows and rng.random() < 0.3:  # a twin: same key, a life of its own
        like = rng.choice(rows)
        twin = contract(rng, like["amc"], like["member"], like["payer_rank"])
        rows.append(coloured(scene_of(rng, known, d, like["amc"]), twin))
    return rows


def contracts(rng: random.Random, known: Json, d: dt.date) -> list[Json]:
    """The contracts of one record, none to four, in no order."""
    story = rng.choice([unrelated] * 9 + [change_of_insurer] * 2 + [relay])
    rows = story(rng, known, d)
    rng.shuffle(rows)
    return rows
