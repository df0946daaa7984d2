"""The decision table for one contract (docs/degraded_modes.md). Pure.

The rows are tried in the order of their numbers and the first that applies decides; row 1, the expired snapshot,
is decided before any lookup (`decide.is_expired`). Days are compared as differences, because a date near the end
of the calendar plus a grace period is none.
"""

from __future__ import annotations

import datetime as dt

import msgspec

from service.rights.model import Amc, Contract, Query, StandIn, Status
from service.rights.reasons import Reason

HISTORY_KEPT_DAYS = 60  # contracts that ended earlier than this before the extract are not in a snapshot

Verdict = tuple[Status, Reason | None]

# Verdicts are compared by identity: rules across contracts ask by which row one was reached.
OPEN: Verdict = (Status.OPEN, None)
PRESUMED_RENEWED: Verdict = (Status.OPEN, Reason.PRESUMED_RENEWED)
RENEWAL_UNKNOWN: Verdict = (Status.UNKNOWN, Reason.RENEWAL_UNKNOWN)
AMC_NOT_COVERED: Verdict = (Status.UNKNOWN, Reason.AMC_NOT_COVERED)
_AMC_EXCLUDED: Verdict = (Status.UNKNOWN, Reason.AMC_EXCLUDED)
_TOO_OLD: Verdict = (Status.UNKNOWN, Reason.TOO_OLD)
_TERMINATED: Verdict = (Status.CLOSED, Reason.TERMINATED)
_SUSPENSION_MAY_HAVE_ENDED: Verdict = (Status.UNKNOWN, Reason.SUSPENSION_MAY_HAVE_ENDED)
_RIGHTS_SUSPENDED: Verdict = (Status.CLOSED, Reason.RIGHTS_SUSPENDED)
_NOT_STARTED: Verdict = (Status.CLOSED, Reason.NOT_STARTED)
_HISTORY_NOT_KEPT: Verdict = (Status.UNKNOWN, Reason.HISTORY_NOT_KEPT)
_CLOSED_UNTRUSTED: Verdict = (Status.UNKNOWN, Reason.CLOSED_UNTRUSTED)
_DOMAIN_NOT_LISTED: Verdict = (Status.UNKNOWN, Reason.DOMAIN_NOT_LISTED)
_LAPSED: Verdict = (Status.CLOSED, Reason.LAPSED)


class _Case(msgspec.Struct, frozen=True, gc=False):
    """One contract's question: the service date, the extract's date and age, and the AMC's rules.

    `ahead` is how many days the service date lies after the extract's, negative if before.
    """

    day: dt.date
    extract: dt.date
    ahead: int
    age: int
    rules: StandIn


def judge(contract: Contract, amc: Amc, query: Query, age: int, excluded: frozenset[str]) -> Verdict:
    """The verdict of rows 2 to 11 on one contract whose AMC's extract is `age` whole days old."""
    rules = amc.stand_in
    if not rules.allowed or amc.number in excluded:  # row 2
        return _AMC_EXCLUDED
    if age > rules.max_age_days:  # row 3
        return _TOO_OLD
    day, extract = query.service_date, amc.extract_date
    case = _Case(day, extract, (day - extract).days, age, rules)
    if contract.closed_on is not None and contract.closed_on <= day:  # row 4
        return _closed(_TERMINATED, case)
    if contract.suspended:
        verdict = _suspended(contract, case)
        if verdict is not None:
            return verdict
    if day < contract.valid_from:  # row 6
        return _closed(_NOT_STARTED, case, kept_days=rules.history_days)
    if contract.domains and query.domain not in contract.domains:  # row 7
        return _DOMAIN_NOT_LISTED
    if contract.valid_to is None or day <= contract.valid_to:  # row 8
        return OPEN
    return _after_end(contract.valid_to, contract.card_valid_to, case)


def _suspended(contract: Contract, case: _Case) -> Verdict | None:
    """Rows 5a and 5b. A suspension without end may have ended unseen after the extract, and that goes first."""
    day = case.day
    within = [s for s in contract.suspended if s.since <= day and (s.until is None or day <= s.until)]
    if not within:
        return None
    if case.ahead > 0 and any(suspension.until is None for suspension in within):  # row 5a
        return _SUSPENSION_MAY_HAVE_ENDED
    return _closed(_RIGHTS_SUSPENDED, case)  # row 5b


def _after_end(valid_to: dt.date, card_valid_to: dt.date | None, case: _Case) -> Verdict:
    """Rows 9 to 11, for a service date after the online end."""
    grace = case.rules.renewal_grace_days
    if (case.extract - valid_to).days > grace:  # row 9: long over when extracted
        return _closed(_LAPSED, case)
    # An online end before the printed one is a termination, not a renewal date.
    ended_early = card_valid_to is not None and card_valid_to > valid_to
    if valid_to >= case.extract and (case.day - valid_to).days <= grace and not ended_early:  # row 10
        return PRESUMED_RENEWED
    return RENEWAL_UNKNOWN  # row 11


def _closed(verdict: Verdict, case: _Case, kept_days: int = HISTORY_KEPT_DAYS) -> Verdict:
    """`verdict` if the extract reaches back to the service date and may be believed so long after it."""
    if case.ahead < -kept_days:
        return _HISTORY_NOT_KEPT
    if case.ahead > 0 and case.age > case.rules.closed_trust_days:
        return _CLOSED_UNTRUSTED
    return verdict
