"""`relais journal prune`: forget what was kept long enough, so that the rest still verifies."""

from __future__ import annotations

import datetime as dt
import re
import sys
from functools import partial
from typing import Annotated, Final

import msgspec
from cyclopts import Parameter

from service.cli.common import DEFAULT_HOME, HomeOption, JsonOption, open_home, print_json
from service.cli.exits import Exit
from service.cli.officer import verify_directory
from service.cli.progress import Meter
from service.clock import SystemClock
from service.errors import OperatorError
from service.journal.prune import prune_journal
from service.journal.pruned import LEAST_DAYS
from service.keyring import load_receipt_keys
from service.locks import ALONE, locked

_LOCK_FILE: Final = ".prune.lock"
_AGE: Final = re.compile(r"([0-9]{1,3})(mo|d)")


def prune(
    *,
    older_than: Annotated[str, Parameter(help="Age of the last entry of a segment: 12mo, or 400d; 6mo at least.")],
    dry_run: Annotated[bool, Parameter(negative="", help="Only say which.")] = False,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> int:
    """Forget segments older than that: their key files first, then their entries. Headers and heads stay.

    The rest still verifies, and what is gone is still proved to have been there. Damaged segments are evidence and
    stay; they are named, with status 1. Broken off, it goes on when it is run again.
    """
    where, settings = open_home(home)
    now = SystemClock().now()
    before = parse_age(older_than, now)
    found = verify_directory(where, settings, where.journal, now)
    evidence = {finding.segment for finding in found.findings if finding.damages}
    with locked(where.journal / _LOCK_FILE, ALONE, "another prune is under way"), Meter() as meter:
        keys, report = load_receipt_keys(where, settings), partial(meter.report, "pruning")
        pruned = prune_journal(where.journal, keys, before, evidence, report, dry_run=dry_run)
    if json:
        print_json({**msgspec.to_builtins(pruned), "dry_run": dry_run})
    else:
        verb = "would be forgotten" if dry_run else "are forgotten"
        print(f"{len(pruned.segments)} segments with {pruned.entries} entries {verb}")
        for journal, why in pruned.kept.items():
            print(f"relais: segment {journal} stays: {why}", file=sys.stderr)
    return Exit.REFUSED if pruned.kept else Exit.DONE


def parse_age(text: str, now: dt.datetime) -> dt.datetime:
    """The instant before which a segment is old enough. Raises `OperatorError`, also for less than six months."""
    age = _AGE.fullmatch(text)
    if age is None:
        raise OperatorError("--older-than takes an age such as 12mo or 400d")
    number = int(age[1])
    before = _months_ago(now, number) if age[2] == "mo" else now - dt.timedelta(days=number)
    if before > now - dt.timedelta(days=LEAST_DAYS):
        raise OperatorError("--older-than: a journal is kept for six months at least (CNIL, délibération 2021-122)")
    return before


def _months_ago(now: dt.datetime, months: int) -> dt.datetime:
    """The same day of the month, or its last one."""
    years, month = divmod(now.year * 12 + now.month - 1 - months, 12)
    for day in range(now.day, now.day - 4, -1):
        try:
            return now.replace(year=years, month=month + 1, day=day)
        except ValueError:
            continue
    raise OperatorError("--older-than reaches too far back")
