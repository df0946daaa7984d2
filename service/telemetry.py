"""Logs as JSON lines on standard error. No event carries personal data: fields are codes, counts and our own names."""

from __future__ import annotations

import contextlib
import logging
import sys
import traceback
from pathlib import PurePath

import structlog


class _Stderr:
    """Lines on standard error. A full disk or a reader that left costs the line, never an order or an answer."""

    def msg(self, line: str) -> None:
        """Write one line, or lose it."""
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()

    debug = info = warning = error = critical = msg


def configure_logs() -> None:
    """JSON lines with an RFC 3339 time and a level; standard-library loggers above INFO go the same way."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=lambda *_: _Stderr(),
        cache_logger_on_first_use=True,
    )


def frames(error: BaseException) -> list[str]:
    """Where an error was raised, innermost last, as `file:line function`; never its text or its values."""
    stack = traceback.extract_tb(error.__traceback__)[-6:]
    return [f"{PurePath(frame.filename).name}:{frame.lineno} {frame.name}" for frame in stack]
