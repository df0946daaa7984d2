"""The loop of `relais snapshot sync`: look, note, wait. No error ends it, and a signal ends it at once."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Never

from service import telemetry
from service.cli.exits import Exit
from service.cli.fetching import chance
from service.cli.pulling import Look, Puller
from service.clock import SystemClock
from service.errors import OperatorError, RelaisError
from service.locks import ALONE, locked
from service.settings import Home
from service.snapshot.backoff import spread
from service.snapshot.sync import SYNC_FILE, SyncStatus, begin_status, write_status


def run_loop(puller: Puller, every: float | None) -> int:
    """Look every so many seconds, a little more or less, until SIGTERM or SIGINT; with None once, raising its error.

    Raises `OperatorError` where another sync runs in this home.
    """
    path = puller.place.node / SYNC_FILE
    ending = _Ending()
    with _alone(puller.place):
        status = begin_status(path, puller.source, SystemClock().now())
        told = ""
        while True:
            result = ending.during(lambda: _attempt(puller))
            if result is None:
                _leave(interrupted=every is None)
            status = _noted(path, status, result)
            if every is None:
                if isinstance(result, RelaisError):
                    raise result
                print(result.said)
                return Exit.DONE
            told = _tell(result, told)
            if ending.within(spread(every, chance)):
                return Exit.DONE


class _Ending:
    """Whether SIGTERM or SIGINT has asked to end. Python runs signal handlers in the main thread, so that one waits."""

    def __init__(self) -> None:
        self._asked = False
        self._woken = threading.Event()
        signal.signal(signal.SIGTERM, self._ask)
        signal.signal(signal.SIGINT, self._ask)

    def during(self, work: Callable[[], Look | RelaisError]) -> Look | RelaisError | None:
        """What `work` gives; None, leaving it where it is, once a signal has come.

        The client of a bucket waits outside of Python, where no signal reaches it.
        """
        done: list[Look | RelaisError] = []

        def run() -> None:
            done.append(work())
            self._woken.set()

        threading.Thread(target=run, daemon=True).start()
        self._woken.wait()
        self._woken.clear()
        return None if self._asked or not done else done[0]

    def within(self, seconds: float) -> bool:
        """Whether a signal has come, at the latest after so many seconds."""
        self._woken.wait(seconds)
        return self._asked

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        self._asked = True
        self._woken.set()


def _attempt(puller: Puller) -> Look | RelaisError:
    """A look, or why it failed, in words that may be kept."""
    try:
        return puller.look()
    except RelaisError as error:
        return error
    except OSError as error:
        return OperatorError(error.strerror or "an error of the disk")
    except Exception as error:  # noqa: BLE001 - a fault of ours must not leave a node without its next snapshot
        return RelaisError(f"{type(error).__name__} at {' < '.join(reversed(telemetry.frames(error)))}")


def _noted(path: Path, status: SyncStatus, result: Look | RelaisError) -> SyncStatus:
    now = SystemClock().now()
    seen = status.well(now, changed=result.changed) if isinstance(result, Look) else status.failed(now, result)
    try:
        write_status(path, seen)
    except OSError as error:
        print(f"relais: {path.name} cannot be written: {error.strerror}", file=sys.stderr, flush=True)
    return seen


def _tell(result: Look | RelaisError, told: str) -> str:
    """Say what is new; the same again, look after look, is in the status only."""
    text = result.said if isinstance(result, Look) else f"relais: {result}"
    if text != told:
        print(text, file=sys.stdout if isinstance(result, Look) else sys.stderr, flush=True)
    return text


def _leave(*, interrupted: bool) -> Never:
    """End with a look under way: what it left on the disk is whole or is resumed, exactly as after a kill."""
    if interrupted:
        print("relais: interrupted", file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(Exit.REFUSED if interrupted else Exit.DONE)


@contextmanager
def _alone(place: Home) -> Iterator[None]:
    """One sync a home."""
    place.node.mkdir(mode=0o700, exist_ok=True)
    with locked(place.node / "sync.lock", ALONE, "another sync runs in this home"):
        yield
