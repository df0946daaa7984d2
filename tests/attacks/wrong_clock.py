"""The one clock of this process, set wrong by a test."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field

import pytest

from service.clock import SystemClock


@dataclass(slots=True)
class WrongClock:
    """How far the wall clock is ahead (behind: negative) of the true time."""

    shift: dt.timedelta = field(default_factory=dt.timedelta)
    #: Stands still, so that a test can name the time a refusal names.
    true: dt.datetime = field(default_factory=lambda: dt.datetime.now(dt.UTC))

    def now(self) -> dt.datetime:
        """What the product reads."""
        return self.true + self.shift

    def text(self, shift: dt.timedelta = dt.timedelta(0)) -> str:
        """That time as refusals write it."""
        return f"{self.now() + shift:%Y-%m-%dT%H:%M:%SZ}"


def set_wrong(monkeypatch: pytest.MonkeyPatch) -> WrongClock:
    """A clock that is right until its `shift` is set."""
    clock = WrongClock()
    monkeypatch.setattr(SystemClock, "now", lambda _: clock.now())
    return clock
