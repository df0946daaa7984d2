"""A clock one day off, either way, at a load: nothing comes in that could not, and no more is lost than a day."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from tests.attacks.forge import Forge
from tests.attacks.victim import Victim
from tests.attacks.wrong_clock import WrongClock

DATES = "4 dates"
FUTURE = ": made in the future, unless this clock is behind"
DAY = dt.timedelta(days=1)
FIVE_MINUTES = dt.timedelta(minutes=5)


def instant(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


def test_a_clock_one_day_slow_refuses_a_fresh_snapshot_as_post_dated(
    victim: Victim, forge: Forge, second: Path, clock: WrongClock
):
    clock.shift = -DAY
    folder = forge.copy(second)
    created = forge.payload(second)["created_at"]
    latest = clock.text(FIVE_MINUTES)
    victim.refuses(
        folder,
        DATES,
        f"created_at not after {latest}, five minutes ahead of this machine's clock",
        f"{instant(created):%Y-%m-%dT%H:%M:%SZ}{FUTURE}",
    )
    clock.shift = dt.timedelta(0)
    victim.takes(second, 2)


def test_a_clock_one_day_fast_refuses_a_snapshot_on_its_last_day(
    victim: Victim, forge: Forge, second: Path, clock: WrongClock
):
    until = clock.text(DAY / 2)
    folder = forge.rewrite(forge.copy(second), valid_until=until)
    clock.shift = DAY
    victim.refuses(
        folder,
        DATES,
        f"valid_until after {clock.text()}, now by this machine's clock",
        f"{until}: expired, unless this clock is ahead",
    )
    clock.shift = dt.timedelta(0)
    victim.takes(folder, 2)


def test_a_clock_one_day_fast_takes_what_a_right_clock_would_take_tomorrow(
    victim: Victim, forge: Forge, second: Path, clock: WrongClock
):
    """Post-dated by less than the error: it passes, and no floor or guard is passed with it. The sequence holds."""
    clock.shift = DAY
    folder = forge.rewrite(forge.copy(second), created_at=clock.text())
    victim.takes(folder, 2)
    clock.shift = dt.timedelta(0)
    victim.refuses(
        forge.copy(second, "built today"),
        "5 sequence against the floor",
        f"digest {forge.digest(folder)} for sequence 2",
        f"digest {forge.digest(second)}: two snapshots under one sequence",
    )
    victim.takes(forge.rewrite(forge.copy(second), sequence=3), 3)


def test_a_clock_one_day_slow_keeps_no_expired_snapshot_longer_than_that_day(
    victim: Victim, forge: Forge, second: Path, clock: WrongClock
):
    until = clock.text(-DAY / 2)
    built = clock.text(-2 * DAY)
    amcs = [{**amc, "extracted_at": built} for amc in forge.payload(second)["amcs"]]
    folder = forge.rewrite(forge.copy(second), created_at=built, valid_until=until, amcs=amcs)
    victim.refuses(
        folder,
        DATES,
        f"valid_until after {clock.text()}, now by this machine's clock",
        f"{until}: expired, unless this clock is ahead",
    )
    clock.shift = -DAY
    said = victim.load(folder, "--accept", "the extracts went back with the clock", "--dry-run")
    assert (said.status, said.err) == (0, "")
    clock.shift = dt.timedelta(0)
    victim.takes(second, 2)


def test_dates_that_contradict_each_other_are_refused_whatever_the_clock(
    victim: Victim, forge: Forge, second: Path, clock: WrongClock
):
    good = forge.payload(second)
    created = f"{instant(good['created_at']):%Y-%m-%dT%H:%M:%SZ}"
    limits = "valid_until after created_at, and within 45 days of it"
    for until in (
        good["created_at"],
        clock.text(-DAY),
        clock.text(46 * DAY),
        "9999-12-31T23:59:59Z",
        "0001-01-01T00:00:00Z",
    ):
        folder = forge.rewrite(forge.copy(second), valid_until=until)
        victim.refuses(folder, DATES, limits, f"{instant(until):%Y-%m-%dT%H:%M:%SZ}")
    late = [{**amc, "extracted_at": clock.text(DAY)} for amc in good["amcs"]]
    victim.refuses(
        forge.rewrite(forge.copy(second), amcs=late),
        DATES,
        f"AMC {late[0]['amc']} extracted not after created_at {created}",
        clock.text(DAY),
    )
    for created_at in ("9999-12-31T23:59:59Z", clock.text(DAY)):
        folder = forge.rewrite(forge.copy(second), created_at=created_at)
        victim.refuses(
            folder,
            DATES,
            f"created_at not after {clock.text(FIVE_MINUTES)}, five minutes ahead of this machine's clock",
            f"{created_at}{FUTURE}",
        )
    victim.takes(second, 2)
