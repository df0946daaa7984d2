"""The status of the supply: every stage has a time of its own, and warnings come while somebody can still act."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.snapshot.supply import (
    Code,
    Facts,
    Limits,
    Look,
    Served,
    Supply,
    Trouble,
    TrustState,
    members,
    public_members,
    served_extracts,
    supply_of,
)

NOW = dt.datetime(2024, 2, 5, 9, 30, tzinfo=dt.UTC)
SECOND, HOUR, DAY = dt.timedelta(seconds=1), dt.timedelta(hours=1), dt.timedelta(days=1)
LIMITS = Limits(expiry=48 * HOUR, stale=36 * HOUR, trust=30 * DAY)


def served(**changes: Any) -> Served:
    sound = {
        "signed_at": NOW - HOUR,
        "valid_until": NOW + 7 * DAY,
        "extracts": served_extracts([("0990000011", NOW - 8 * HOUR, 30)]),
    }
    return Served(**{**sound, **changes})


def look(at: dt.datetime, *, changed_at: dt.datetime | None = None, step: str | None = None) -> Look:
    trouble = None if step is None else Trouble(at, step, "expected anne, bruno; found anne")
    return Look(at, changed_at, trouble)


def told(**facts: Any) -> Supply:
    return supply_of(Facts(**facts), LIMITS, NOW)


def codes(**facts: Any) -> list[Code]:
    return [warning.code for warning in told(**facts).warnings]


def test_a_node_that_knows_nothing_claims_nothing():
    assert told() == Supply(None, None, None, None, None, None, ())


def test_looked_at_changed_and_activated_are_three_times():
    """An old pointer, served again and again: it was looked at, and nothing changed."""
    since = NOW - 20 * HOUR
    supply = told(activated_at=since + HOUR, served=served(), looks=(look(NOW, changed_at=since),))
    assert (supply.checked, supply.changed, supply.activated) == (NOW, since, since + HOUR)
    assert (supply.expires, supply.time_left_seconds) == (NOW + 7 * DAY, 7 * 86_400)
    assert supply.warnings == ()


def test_the_latest_of_load_and_sync_counts():
    supply = told(
        looks=(look(NOW - HOUR, changed_at=NOW - HOUR), look(NOW - SECOND, changed_at=NOW - 30 * HOUR)),
    )
    assert (supply.checked, supply.changed) == (NOW - SECOND, NOW - HOUR)


def test_without_a_note_of_the_change_the_order_tells_when_it_was_at_the_latest():
    assert told(activated_at=NOW - DAY, looks=(look(NOW),)).changed == NOW - DAY


def test_a_refused_look_is_a_look_and_an_error_until_the_next_success():
    refused = look(NOW - HOUR, step="9 guard")
    supply = told(looks=(refused,))
    assert (supply.checked, supply.last_error) == (NOW - HOUR, refused.trouble)
    assert codes(looks=(refused, look(NOW - 2 * HOUR))) == [Code.LOAD_REFUSED]
    cleared = told(looks=(refused, look(NOW)))
    assert (cleared.last_error, cleared.warnings) == (None, ())
    again = told(looks=(look(NOW - HOUR, step="9 guard"), look(NOW, step="depot_unavailable")))
    assert again.last_error is not None
    assert again.last_error.step == "depot_unavailable"


@pytest.mark.parametrize(
    ("left", "code"),
    [
        (48 * HOUR + SECOND, []),
        (48 * HOUR, [Code.SNAPSHOT_EXPIRING]),
        (SECOND, [Code.SNAPSHOT_EXPIRING]),
        (dt.timedelta(0), [Code.SNAPSHOT_EXPIRED]),
        (-DAY, [Code.SNAPSHOT_EXPIRED]),
    ],
)
def test_the_end_of_a_snapshot_is_told_before_and_after(left: dt.timedelta, code: list[Code]):
    assert codes(served=served(valid_until=NOW + left)) == code
    assert told(served=served(valid_until=NOW + left)).time_left_seconds == max(0, int(left.total_seconds()))


def test_an_expired_snapshot_says_only_that():
    old = served(
        signed_at=NOW - 40 * DAY, valid_until=NOW - DAY, extracts=served_extracts([("0990000011", NOW - 50 * DAY, 7)])
    )
    assert codes(served=old) == [Code.SNAPSHOT_EXPIRED]


@pytest.mark.parametrize(("age", "code"), [(36 * HOUR, []), (36 * HOUR + SECOND, [Code.FREEZE])])
def test_a_freeze_is_told_while_the_snapshot_still_answers(age: dt.timedelta, code: list[Code]):
    """A bucket that serves an old valid pointer: each look succeeds, and still nothing new has come."""
    facts = {"served": served(signed_at=NOW - age), "looks": (look(NOW, changed_at=NOW - age),)}
    assert codes(**facts) == code
    never = Limits(LIMITS.expiry, dt.timedelta(0), LIMITS.trust)
    assert supply_of(Facts(**facts), never, NOW).warnings == ()


def test_a_node_that_took_an_old_snapshot_today_is_frozen_too():
    assert codes(served=served(signed_at=NOW - 6 * DAY), looks=(look(NOW, changed_at=NOW),)) == [Code.FREEZE]


@pytest.mark.parametrize(
    ("days", "age", "warned"),
    [
        (30, 29 * DAY - SECOND, False),
        (30, 29 * DAY, True),
        (30, 40 * DAY, True),
        (3, 3 * DAY - SECOND, False),
        (3, 3 * DAY, True),
        (0, 18 * HOUR - SECOND, False),
        (0, 18 * HOUR, True),
    ],
)
def test_an_extract_is_told_before_its_amc_is_too_old_to_answer_for(days: int, age: dt.timedelta, warned: bool):  # noqa: FBT001
    """48 hours before the policy's end, but never before the last quarter of its age: a policy may allow one day."""
    aged = served(extracts=served_extracts([("0990000022", NOW, 30), ("0990000011", NOW - age, days)]))
    assert codes(served=aged) == ([Code.EXTRACT_AGING] if warned else [])


def test_of_many_aged_extracts_the_first_to_end_are_named():
    ages = {f"099000000{number}": number * HOUR for number in range(1, 6)}
    extracts = [(amc, NOW - 8 * DAY + age, 7) for amc, age in reversed(ages.items())]
    (warning,) = told(served=served(extracts=served_extracts(extracts))).warnings
    assert warning.detail == (
        "too old for answers: AMC 0990000001 from 2024-02-05T10:30:00Z, AMC 0990000002 from 2024-02-05T11:30:00Z, "
        "AMC 0990000003 from 2024-02-05T12:30:00Z and 2 more"
    )


@pytest.mark.parametrize(
    ("trust", "code"),
    [
        (None, []),
        (TrustState(NOW + 30 * DAY + SECOND), []),
        (TrustState(NOW + 30 * DAY), [Code.TRUST_EXPIRING]),
        (TrustState(NOW), [Code.TRUST_EXPIRED]),
        (TrustState(None), [Code.TRUST_REFUSED]),
    ],
)
def test_the_end_of_the_trust_file_is_told_before_nothing_loads(trust: TrustState | None, code: list[Code]):
    assert codes(trust=trust) == code


def test_the_words_of_an_error_stay_inside():
    supply = told(activated_at=NOW, served=served(), looks=(look(NOW, step="2 signatures and threshold"),))
    assert "anne" not in str(public_members(supply))
    assert public_members(supply)["last_error"] == {"at": "2024-02-05T09:30:00Z", "step": "2 signatures and threshold"}
    assert members(supply)["last_error"]["text"] == "expected anne, bruno; found anne"
    assert {name: value for name, value in members(supply).items() if name != "last_error"} == {
        name: value for name, value in public_members(supply).items() if name != "last_error"
    }


instants = st.datetimes(dt.datetime(2024, 1, 1), dt.datetime(2024, 3, 1), timezones=st.just(dt.UTC))  # noqa: DTZ001
looks = st.builds(look, instants, changed_at=st.none() | instants, step=st.none() | st.just("9 guard"))


@given(st.lists(looks, max_size=3), st.builds(Served, instants, instants, st.just(())), instants)
def test_a_later_success_clears_every_error_and_no_other_warning(known: list[Look], serving: Served, now: dt.datetime):
    facts = Facts(served=serving, looks=tuple(known))
    before = {warning.code for warning in supply_of(facts, LIMITS, now).warnings}
    well = Facts(served=serving, looks=(*known, look(dt.datetime(2024, 4, 1, tzinfo=dt.UTC))))
    after = {warning.code for warning in supply_of(well, LIMITS, now).warnings}
    assert after == before - {Code.LOAD_REFUSED}
    assert (Code.LOAD_REFUSED in before) == (supply_of(facts, LIMITS, now).last_error is not None)
