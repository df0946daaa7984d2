"""Rules with round numbers."""

from __future__ import annotations

from typing import Any

import msgspec

from service.upstream.breaker import Rules

RULES = Rules(
    window_seconds=10,
    minimum_calls=10,
    failure_percent=50,
    slow_percent=80,
    slow_seconds=0.5,
    open_seconds=5.0,
    open_seconds_most=60.0,
    probe_calls=3,
    step_seconds=5.0,
)


def rules(**changes: Any) -> Rules:
    return msgspec.structs.replace(RULES, **changes)
