from __future__ import annotations

import datetime as dt

import msgspec
import pytest

from service.rights.model import Status
from service.rights.reasons import Reason
from tests.unit.rights.rights_cases import (
    ONE,
    STANCE,
    Verdict,
    amc,
    ask,
    at,
    contract,
    day,
    knowing,
    query,
    suspended,
    verdict,
)

OPEN, UNKNOWN, CLOSED = Status.OPEN, Status.UNKNOWN, Status.CLOSED


def test_row_2_stand_in_not_allowed():
    decision = ask(contract(closed_on=day(-5)), knowledge=knowing(amc(allowed=False)))
    assert verdict(decision) == (UNKNOWN, (Reason.AMC_EXCLUDED,))


def test_row_2_suspended_by_an_order():
    stance = msgspec.structs.replace(STANCE, excluded=frozenset({ONE}))
    assert verdict(ask(contract(), stance=stance)) == (UNKNOWN, (Reason.AMC_EXCLUDED,))


@pytest.mark.parametrize(("age", "expected"), [(5.99, (OPEN, ())), (6, (UNKNOWN, (Reason.TOO_OLD,)))])
def test_row_3_an_extract_too_old(age: float, expected: Verdict):
    assert verdict(ask(contract(), knowledge=knowing(amc(max_age_days=5)), now=at(age))) == expected


@pytest.mark.parametrize(
    ("offset", "expected"),
    [(-11, (OPEN, ())), (-10, (CLOSED, (Reason.TERMINATED,))), (0, (CLOSED, (Reason.TERMINATED,)))],
)
def test_row_4_terminated_from_the_first_day_without_rights(offset: int, expected: Verdict):
    assert verdict(ask(contract(closed_on=day(-10)), query=query(offset))) == expected


@pytest.mark.parametrize(
    ("offset", "age", "expected"),
    [
        (-60, 0, (CLOSED, (Reason.TERMINATED,))),
        (-61, 0, (UNKNOWN, (Reason.HISTORY_NOT_KEPT,))),
        (0, 5, (CLOSED, (Reason.TERMINATED,))),
        (1, 2.9, (CLOSED, (Reason.TERMINATED,))),
        (1, 3, (UNKNOWN, (Reason.CLOSED_UNTRUSTED,))),
    ],
)
def test_closed_needs_history_and_trust(offset: int, age: float, expected: Verdict):
    known = knowing(amc(closed_trust_days=2))
    assert verdict(ask(contract(closed_on=day(-90)), query=query(offset), knowledge=known, now=at(age))) == expected


@pytest.mark.parametrize(
    ("offset", "expected"),
    [
        (-6, (OPEN, ())),
        (-5, (CLOSED, (Reason.RIGHTS_SUSPENDED,))),
        (0, (CLOSED, (Reason.RIGHTS_SUSPENDED,))),
        (1, (UNKNOWN, (Reason.SUSPENSION_MAY_HAVE_ENDED,))),
    ],
)
def test_row_5a_a_suspension_without_end_may_have_ended_after_the_extract(offset: int, expected: Verdict):
    assert verdict(ask(contract(suspended=(suspended(-5, None),)), query=query(offset))) == expected


@pytest.mark.parametrize(
    ("offset", "expected"),
    [
        (-6, (OPEN, ())),
        (-5, (CLOSED, (Reason.RIGHTS_SUSPENDED,))),
        (3, (CLOSED, (Reason.RIGHTS_SUSPENDED,))),
        (4, (OPEN, ())),
    ],
)
def test_row_5b_both_ends_of_a_suspension_belong_to_it(offset: int, expected: Verdict):
    assert verdict(ask(contract(suspended=(suspended(-5, 3),)), query=query(offset))) == expected


def test_row_5a_goes_before_5b_where_suspensions_overlap():
    both = (suspended(-5, 3), suspended(-2, None))
    assert verdict(ask(contract(suspended=both))) == (UNKNOWN, (Reason.SUSPENSION_MAY_HAVE_ENDED,))


@pytest.mark.parametrize(
    ("offset", "history", "age", "expected"),
    [
        (0, 0, 7, (CLOSED, (Reason.NOT_STARTED,))),
        (-1, 0, 0, (UNKNOWN, (Reason.HISTORY_NOT_KEPT,))),
        (-30, 30, 7, (CLOSED, (Reason.NOT_STARTED,))),
        (-31, 30, 0, (UNKNOWN, (Reason.HISTORY_NOT_KEPT,))),
        (1, 0, 2, (CLOSED, (Reason.NOT_STARTED,))),
        (1, 0, 3, (UNKNOWN, (Reason.CLOSED_UNTRUSTED,))),
    ],
)
def test_row_6_not_started_as_far_back_as_the_extract_goes(offset: int, history: int, age: float, expected: Verdict):
    known = knowing(amc(closed_trust_days=2, history_days=history))
    asked = ask(contract(valid_from=day(20)), query=query(offset), knowledge=known, now=at(age))
    assert verdict(asked) == expected


@pytest.mark.parametrize(
    ("domains", "expected"),
    [((), (OPEN, ())), (("HOSP", "PHAR"), (OPEN, ())), (("HOSP",), (UNKNOWN, (Reason.DOMAIN_NOT_LISTED,)))],
)
def test_row_7_a_domain_not_listed(domains: tuple[str, ...], expected: Verdict):
    assert verdict(ask(contract(domains=domains))) == expected


@pytest.mark.parametrize("valid_to", [None, day(1), dt.date.max])
def test_row_8_open_to_the_last_day(valid_to: dt.date | None):
    assert verdict(ask(contract(valid_to=valid_to))) == (OPEN, ())


@pytest.mark.parametrize(
    ("ended", "expected"), [(-31, (CLOSED, (Reason.LAPSED,))), (-30, (UNKNOWN, (Reason.RENEWAL_UNKNOWN,)))]
)
def test_row_9_long_over_when_extracted(ended: int, expected: Verdict):
    assert verdict(ask(contract(valid_to=day(ended)))) == expected


@pytest.mark.parametrize(
    ("ended", "offset", "printed", "expected"),
    [
        (0, 1, None, (OPEN, (Reason.PRESUMED_RENEWED,))),
        (0, 30, None, (OPEN, (Reason.PRESUMED_RENEWED,))),
        (0, 31, None, (UNKNOWN, (Reason.RENEWAL_UNKNOWN,))),
        (-1, 1, None, (UNKNOWN, (Reason.RENEWAL_UNKNOWN,))),
        (5, 6, 5, (OPEN, (Reason.PRESUMED_RENEWED,))),
        (5, 6, 4, (OPEN, (Reason.PRESUMED_RENEWED,))),
        (5, 6, 6, (UNKNOWN, (Reason.RENEWAL_UNKNOWN,))),  # ended before the printed end: a termination
    ],
)
def test_rows_10_and_11_presumed_renewed_or_not(ended: int, offset: int, printed: int | None, expected: Verdict):
    ending = contract(valid_to=day(ended), card_valid_to=None if printed is None else day(printed))
    assert verdict(ask(ending, query=query(offset))) == expected


def test_the_first_row_that_applies_decides():
    everything = contract(closed_on=day(-3), suspended=(suspended(-5, None),), valid_from=day(30), domains=("HOSP",))
    assert verdict(ask(everything)) == (CLOSED, (Reason.TERMINATED,))
    started = msgspec.structs.replace(everything, closed_on=None)
    assert verdict(ask(started)) == (UNKNOWN, (Reason.SUSPENSION_MAY_HAVE_ENDED,))
    lasting = msgspec.structs.replace(started, suspended=())
    assert verdict(ask(lasting)) == (CLOSED, (Reason.NOT_STARTED,))


def test_dates_at_the_ends_of_the_calendar_do_no_harm():
    ancient = contract(valid_from=dt.date.min, valid_to=dt.date.max, closed_on=dt.date.min)
    assert verdict(ask(ancient)) == (CLOSED, (Reason.TERMINATED,))
    assert ask(ancient, ancient).status is UNKNOWN
