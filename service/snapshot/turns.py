"""Whose turn it is among a home's snapshots: one load at a time, and nothing is removed under a pin's feet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.locks import ALONE, BESIDE, locked


@contextmanager
def loading(root: Path) -> Iterator[None]:
    """One load, or prune, at a time. Raises `OperatorError` while another is under way."""
    with _locked(root / ".lock", ALONE, "another load"):
        yield


@contextmanager
def pinning(root: Path) -> Iterator[None]:
    """What is held stays, from the look at it to the order that pins it. Never waits for a load, which may be long."""
    with _locked(root / ".pin", BESIDE, "a prune"):
        yield


@contextmanager
def pruning(root: Path) -> Iterator[None]:
    """Nobody loads or pins. Raises `OperatorError` while somebody does."""
    with loading(root), _locked(root / ".pin", ALONE, "a pin"):
        yield


@contextmanager
def _locked(path: Path, how: int, who: str) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path, how, f"{who} is under way in this home: wait for it to end", 0o644):
        yield
