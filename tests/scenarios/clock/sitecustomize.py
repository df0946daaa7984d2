"""Loaded by Python at its start where PYTHONPATH leads here: shifts the wall clock of this process.

By a number of seconds, or by the number that stands in a file, read each time: such a clock can be set while it runs.
A file that begins with `=` stops it at these Unix seconds.
"""

from __future__ import annotations

import datetime as dt
import os
import sys
from pathlib import Path

_FILE = os.environ.get("CLOCK_SHIFT_FILE")
_REAL = dt.datetime


def _told() -> str:
    return Path(_FILE).read_text() if _FILE else os.environ["CLOCK_SHIFT_SECONDS"]


def _now(tz: dt.tzinfo | None) -> dt.datetime:
    told = _told()
    if told.startswith("="):
        return _REAL.fromtimestamp(float(told[1:]), tz)
    return _REAL.now(tz) + dt.timedelta(seconds=float(told))


class _Shifted(_REAL):
    @classmethod
    def now(cls, tz: dt.tzinfo | None = None) -> dt.datetime:  # type: ignore[override]
        return _now(tz)


if "stubs.population" in sys.orig_argv:
    # The stand-in reads the time by itself.
    dt.datetime = _Shifted  # type: ignore[misc]
else:
    from service.clock import SystemClock

    SystemClock.now = lambda _: _now(dt.UTC)  # type: ignore[method-assign]
