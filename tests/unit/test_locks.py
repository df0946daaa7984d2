"""Locks between processes: alone, in turn, beside."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from service.errors import OperatorError
from service.locks import ALONE, BESIDE, IN_TURN, locked


def test_a_second_one_is_refused_with_its_sentence_and_let_in_afterwards(tmp_path: Path):
    lock = tmp_path / ".lock"
    refused = pytest.raises(OperatorError, match=r"^somebody is at it$")
    with locked(lock, ALONE, "somebody is at it"), refused, locked(lock, ALONE, "somebody is at it"):
        pass
    with locked(lock, ALONE, "somebody is at it"):
        pass


def test_some_may_be_beside_each_other_and_nobody_is_alone_with_them(tmp_path: Path):
    lock = tmp_path / ".lock"
    with locked(lock, BESIDE), locked(lock, BESIDE), pytest.raises(OperatorError), locked(lock, ALONE, "not alone"):
        pass


def test_a_process_that_dies_lets_go(tmp_path: Path):
    lock = tmp_path / ".lock"
    child = os.fork()
    if not child:
        with locked(lock, ALONE):
            os._exit(0)
    os.waitpid(child, 0)
    with locked(lock, ALONE), pytest.raises(OperatorError), locked(lock, ALONE, "held"):
        pass
    with locked(lock, IN_TURN):
        pass


def test_an_error_inside_lets_go_and_passes(tmp_path: Path):
    lock = tmp_path / ".lock"
    with pytest.raises(ZeroDivisionError), locked(lock, ALONE):
        raise ZeroDivisionError
    with locked(lock, ALONE):
        assert stat.S_IMODE(lock.stat().st_mode) == 0o600
