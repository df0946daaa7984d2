"""A process whose wall clock is wrong: Python loads `clock/sitecustomize.py`, which shifts the product's clock.

Only the one reader of time is shifted, so it needs neither rights nor a library.
"""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).with_name("clock")


def shifted(seconds: int) -> dict[str, str]:
    """Environment variables for such a process; none for no shift."""
    return {"PYTHONPATH": str(_FOLDER), "CLOCK_SHIFT_SECONDS": str(seconds)} if seconds else {}


class SteppingClock:
    """A clock that other processes read, set here while they run."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.seconds = 0
        self.step(0)

    def step(self, seconds: int) -> None:
        """Be so many seconds off from now on, in one step."""
        self.seconds = seconds
        self._tell(str(seconds))

    def stop(self, at: float) -> None:
        """Stand still at these Unix seconds."""
        self._tell(f"={at}")

    def _tell(self, text: str) -> None:
        aside = self._file.with_suffix(".new")
        aside.write_text(text)
        aside.replace(self._file)

    def environment(self) -> dict[str, str]:
        """Environment variables for such a process."""
        return {"PYTHONPATH": str(_FOLDER), "CLOCK_SHIFT_FILE": str(self._file)}
