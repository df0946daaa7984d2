"""Loaded by Python at its start where PYTHONPATH leads here: shifts the wall clock of this process."""

from __future__ import annotations

import datetime as dt
import os
import sys

_SHIFT = dt.timedelta(seconds=float(os.environ["CLOCK_SHIFT_SECONDS"]))
_REAL = dt.datetime


class _Shifted(_REAL):
    @classmethod
    def now(cls, tz: dt.tzinfo | None = None) -> dt.datetime:  # type: ignore[override]
        return _REAL.now(tz) + _SHIFT


if "stubs.population" in sys.orig_argv:
    # The stand-in reads the time by itself.
    dt.datetime = _Shifted  # type: ignore[misc]
else:
    from service.clock import SystemClock

    SystemClock.now = lambda _: _REAL.now(dt.UTC) + _SHIFT  # type: ignore[method-assign]
