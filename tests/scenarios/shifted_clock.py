"""A process whose wall clock is wrong: Python loads `clock/sitecustomize.py`, which shifts the product's clock.

Only the one reader of time is shifted, so it needs neither rights nor a library.
"""

from __future__ import annotations

from pathlib import Path

VARIABLE = "CLOCK_SHIFT_SECONDS"
_FOLDER = Path(__file__).with_name("clock")


def shifted(seconds: int) -> dict[str, str]:
    """Environment variables for such a process; none for no shift."""
    return {"PYTHONPATH": str(_FOLDER), VARIABLE: str(seconds)} if seconds else {}
