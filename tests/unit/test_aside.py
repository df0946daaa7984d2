from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable

import pytest

from service.aside import aside


def priority() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


def test_the_work_has_the_lowest_priority_and_the_command_keeps_its_own():
    before = priority()
    assert aside(lambda _: priority(), lambda *_: None) == 19
    assert priority() == before


def test_progress_and_errors_come_through():
    seen: list[tuple[int, int]] = []

    def work(progress: Callable[[int, int], None]) -> None:
        progress(1, 2)
        raise FileNotFoundError("gone")

    with pytest.raises(FileNotFoundError, match="gone"):
        aside(work, lambda *step: seen.append(step))
    assert seen == [(1, 2)]


def test_an_interrupt_ends_the_work_at_its_next_step_and_lets_it_clean_up():
    begun, cleaned = threading.Event(), threading.Event()
    # Whoever started the tests in the background may have had interrupts ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    deadline = time.monotonic() + 30

    def stuck() -> bool:
        return time.monotonic() > deadline

    def work(progress: Callable[[int, int], None]) -> None:
        begun.set()
        try:
            while not stuck():
                progress(1, 2)
        finally:
            cleaned.set()

    main = threading.main_thread().ident or 0
    pressed = threading.Thread(target=lambda: begun.wait() and signal.pthread_kill(main, signal.SIGINT))
    pressed.start()
    with pytest.raises(KeyboardInterrupt):
        aside(work, lambda *_: None)
    pressed.join()
    signal.signal(signal.SIGINT, before)
    assert not stuck()
    assert cleaned.is_set()
