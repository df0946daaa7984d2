"""What bodies may take in all."""

from __future__ import annotations

from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any

import pytest

from service.errors import Overloaded
from service.settings import LimitSettings
from service.web.bodies import in_flight


def context() -> Any:
    limits = LimitSettings(body_bytes=100, batch_bytes=350, bodies_in_flight=10)
    return SimpleNamespace(settings=SimpleNamespace(limits=limits), bodies_in_flight=0)


def test_large_bodies_count_for_several():
    known = context()
    with ExitStack() as held:
        for _ in range(2):
            held.enter_context(in_flight(known, 350))
        with pytest.raises(Overloaded), in_flight(known, 350):
            pass
        held.enter_context(in_flight(known, 100))
        held.enter_context(in_flight(known, 100))
        with pytest.raises(Overloaded), in_flight(known, 100):
            pass
    assert known.bodies_in_flight == 0


def test_one_that_fails_is_held_no_more():
    known = context()
    with pytest.raises(ZeroDivisionError), in_flight(known, 350):
        raise ZeroDivisionError
    assert known.bodies_in_flight == 0
