"""Small random worlds around every boundary of the decision table.

`world(seed)` is plain JSON as tests.oracles.decision reads it: a record, a question, what the source knows, the
stance and the time. A seed always makes the same world.
"""

from __future__ import annotations

import datetime as dt
import random

from tests.oracles.lives import BENEFITS, COVERED, PARIS, Json, contracts, days, extract_date, text

NOT_COVERED = "0000000199"
OUT_OF_SCOPE = "0075500017"
NOWS = [  # plain days, both changes of the hour, a leap day, the turn of the year
    "2024-02-05T09:30:12.123",
    "2024-02-29T11:00:00",
    "2024-03-01T00:30:00",
    "2024-03-31T01:00:00",
    "2024-04-01T12:00:00",
    "2024-06-30T22:00:00",
    "2024-07-14T21:59:59.999",
    "2024-10-27T00:59:59",
    "2024-10-28T08:00:00",
    "2024-12-31T22:59:59.500",
    "2024-12-31T23:00:00",
    "2025-01-15T16:45:00",
]


def rfc3339(instant: dt.datetime) -> str:
    digits = "milliseconds" if instant.microsecond else "seconds"
    return instant.astimezone(dt.UTC).isoformat(timespec=digits).replace("+00:00", "Z")


# --- what the source knows -----------------------------------------------------------------------------------------


def policy(rng: random.Random) -> Json:
    return {
        "allowed": rng.random() < 0.97,
        "renewal_grace_days": rng.choice([0, 1, 5, 15, 30]),
        "closed_trust_days": rng.choice([0, 1, 3, 7]),
        "max_age_days": rng.choice([1, 2, 3, 7, 30, 120, 120, 120]),
        "on_unknown": rng.choice(["check_card", "check_card", "patient_pays"]),
        "history_days": rng.choice([0, 0, 30, 60, 365]),
        "guarantee": None,
    }


def guarantee(rng: random.Random, d: dt.date) -> Json | None:
    if rng.random() < 0.4:
        return None
    until = rng.choice([None, d - days(1), d, d + days(1), d + days(200)])
    return {"basis": "Convention 12", "until": text(until), "ceiling_cents": rng.choice([None, 0, 5000])}


def extracted_at(rng: random.Random, now: dt.datetime, rules: Json, *, live: bool) -> dt.datetime:
    """Around the ages that matter, on the second; sometimes near midnight in Paris, where dates and ages part."""
    whole = now.replace(microsecond=0)
    if live:
        return whole - dt.timedelta(seconds=rng.choice([0, 30, 300]))
    trust, most = rules["closed_trust_days"], rules["max_age_days"]
    age = rng.choice([0, 0, 1, 1, 3, 3, trust, trust + 1, most, most + 1, 20, 65, 85])
    made = whole - days(age) + dt.timedelta(seconds=rng.choice([-3600, -1, 0, 0, 1, 3600, 7200]))
    if rng.random() < 0.3:
        made = made.replace(hour=rng.choice([21, 22, 23]), minute=rng.choice([0, 59]), second=rng.choice([0, 59]))
    return made


def knowledge(rng: random.Random, now: dt.datetime, kind: str) -> Json:
    amcs = {}
    for number in COVERED:
        rules = policy(rng)
        if kind != "snapshot":  # the AMC itself has just answered: there is no stand-in to allow
            rules |= {"allowed": True, "max_age_days": 30}
        made = extracted_at(rng, now, rules, live=kind != "snapshot")
        amcs[number] = {"name": f"Mutuelle {number[-1]}", "extracted_at": rfc3339(made), "stand_in": rules}
    expiring = kind == "snapshot" and rng.random() < 0.06
    left = rng.choice([dt.timedelta(0), dt.timedelta(0), -dt.timedelta(seconds=1), -days(3)]) if expiring else days(4)
    return {
        "kind": kind,
        "snapshot": rng.randrange(1, 100),
        "signed_at": rfc3339(now.replace(microsecond=0) - days(3)),
        "valid_until": rfc3339(now.replace(microsecond=0) + left),
        "amcs": amcs,
        "out_of_scope": [OUT_OF_SCOPE, "0088888888"],
    }


# --- the question and the stance -----------------------------------------------------------------------------------


def service_date(rng: random.Random, known: Json, now: dt.datetime) -> dt.date:
    """From 90 days back to one day ahead, mostly where the extract's date makes a difference."""
    today = now.astimezone(PARIS).date()
    number = rng.choice(COVERED)
    e, history = extract_date(known, number), known["amcs"][number]["stand_in"]["history_days"]
    anchors = [today, today, today, today + days(1), today - days(90), e, e, e - days(60), e - days(history)]
    day = rng.choice(anchors) + days(rng.choice([-1, 0, 0, 0, 1]))
    return min(max(day, today - days(90)), today + days(1))


def amc_asked_for(rng: random.Random, rows: list[Json]) -> str | None:
    own = [row["amc"] for row in rows] or COVERED
    pick = rng.random()
    if pick < 0.5:
        return None
    if pick < 0.85:
        return str(rng.choice(own))
    return rng.choice([*COVERED, NOT_COVERED, OUT_OF_SCOPE])


def query(rng: random.Random, rows: list[Json], d: dt.date) -> Json:
    return {
        "nir": "1850575116001",
        "member": None,
        "birth_date": rng.choice(["1985-05-12", "1985-00-00"]),
        "birth_rank": rng.choice([1, 1, 2]),
        "finess": "750012346",
        "service_date": text(d),
        "domain": rng.choice(["PHAR", "PHAR", "PHAR", "OPTI"]),
        "benefits": sorted(rng.sample([*BENEFITS, "LPP"], rng.choice([0, 0, 1, 2]))),
        "amc": amc_asked_for(rng, rows),
    }


def stance(rng: random.Random, kind: str, asked: str | None) -> Json:
    excluded = rng.sample(COVERED, rng.choice([0] * 12 + [1, 1, 2]))
    mode = "live" if kind != "snapshot" else rng.choice(["degraded", "degraded", "live"])
    if asked in excluded and rng.random() < 0.5:
        mode = "suspended"
    return {
        "mode": mode,
        "mode_order": rng.choice([None, 17]),
        "upstream_failed": kind == "snapshot" and rng.random() < 0.7,
        "excluded": excluded,
        "clock_suspect": rng.random() < 0.08,
        "pinned": kind == "snapshot" and rng.random() < 0.05,
    }


def world(seed: int) -> Json:
    """The world of this seed."""
    rng = random.Random(seed)  # noqa: S311 - reproducible worlds, no secret
    now = dt.datetime.fromisoformat(rng.choice(NOWS)).replace(tzinfo=dt.UTC)
    kind = rng.choice(["snapshot"] * 18 + ["upstream", "cache"])
    known = knowledge(rng, now, kind)
    d = service_date(rng, known, now)
    for amc in known["amcs"].values():
        if kind == "snapshot":
            amc["stand_in"]["guarantee"] = guarantee(rng, d)
    rows = contracts(rng, known, d)
    asked = query(rng, rows, d)
    record: list[Json] | str = rows
    if rows and rng.random() < 0.15:  # the second shape of identity: its entry holds that AMC's and member's only
        key = (rows[0]["amc"], rows[0]["member"])
        record = [row for row in rows if (row["amc"], row["member"]) == key]
        asked |= {"nir": None, "amc": key[0], "member": key[1]}
    elif rng.random() < 0.12:
        record = rng.choice(["no_record", "unreadable", "not_searchable"])
        if record == "not_searchable":
            asked["nir"] = "2555555123030"
    outlook = stance(rng, kind, asked["amc"])
    return {"record": record, "query": asked, "knowledge": known, "stance": outlook, "now": rfc3339(now)}
