"""The node's own copy of the chain: what it goes on with when the store is lost, and what tells it that a store lies.

One JSON line an order, appended under a lock by whichever process of the node sees the order first. A line that is
not whole was never acted on (orders are kept before they are followed): it is dropped and overwritten.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from service.control.format import StoredOrder
from service.errors import ChainBroken
from service.files import PRIVATE_MODE, sync_directory, write_durable
from service.strictjson import canonical

#: The file of a node's copy of the orders, in `Home.node`.
COPY_FILE: Final = "orders.jsonl"
_LOCK_TRIES: Final = 40
_LOCK_PAUSE_SECONDS: Final = 0.005


class _Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    order: str
    version: int


class Replica:
    """`<home>/node/orders.jsonl`. Raises `OSError` where the disk does, `ChainBroken` where a line is not an order.

    Commands open it read-only: run as another user, they must not leave files behind that workers cannot read.
    """

    def __init__(self, path: Path, *, writable: bool = True) -> None:
        self._path = path
        self.writable = writable

    def load(self) -> tuple[list[StoredOrder], bool]:
        """The whole orders up to the first damaged line, and whether there was one; a torn last line is none."""
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return [], False
        orders: list[StoredOrder] = []
        for line in _whole_lines(data):
            order = _parse(line)
            if order is None or order[0] != len(orders) + 1:
                return orders, True
            orders.append(order)
        return orders, False

    def extend(self, orders: Sequence[StoredOrder]) -> bool:
        """Add those the file lacks; False if it lacks earlier ones too (then `replace` it).

        Raises `ChainBroken` if the file ends in another order of the same version: a process of this node followed
        another chain.
        """
        if not self.writable or not orders:
            return True
        with self._locked():
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_MODE)
            with open(descriptor, "r+b", buffering=0) as file:  # noqa: PTH123 - a descriptor, not a path
                data = file.read()
                lines = _whole_lines(data)
                if not _continues(lines, orders):
                    return False
                missing = b"".join(_line(order) for order in orders if order[0] > len(lines))
                if missing:
                    whole = sum(len(line) + 1 for line in lines)
                    file.truncate(whole)
                    file.seek(whole)
                    _write_all(descriptor, missing)
                    os.fdatasync(descriptor)
            if not data:
                sync_directory(self._path.parent)
        return True

    def replace(self, orders: Sequence[StoredOrder]) -> None:
        """The whole file anew, for one that is damaged or has a gap."""
        if self.writable:
            with self._locked():
                write_durable(self._path, b"".join(map(_line, orders)), PRIVATE_MODE)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One writer of this node at a time; `BlockingIOError` if another does not let go within 0.2 s."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = self._path.with_name(f".{self._path.name}.lock")
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_MODE)
        try:
            for attempt in range(_LOCK_TRIES):
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if attempt == _LOCK_TRIES - 1:
                        raise
                    time.sleep(_LOCK_PAUSE_SECONDS)
            yield
        finally:
            os.close(descriptor)


def _whole_lines(data: bytes) -> list[bytes]:
    return data.split(b"\n")[:-1]


def _continues(lines: Sequence[bytes], orders: Sequence[StoredOrder]) -> bool:
    """Whether the file reaches up to the orders, sound where it meets them; raises `ChainBroken` if they differ."""
    if orders[0][0] > len(lines) + 1:
        return False
    last = _parse(lines[-1]) if lines else (0, "")
    if last is None or last[0] != len(lines):
        return False
    for order in orders:
        kept = _parse(lines[order[0] - 1]) if order[0] <= len(lines) else order
        if kept is None or kept[0] != order[0]:
            return False
        if kept != order:
            raise ChainBroken(f"this node kept another order {order[0]} than the store's")
    return True


def _line(order: StoredOrder) -> bytes:
    return canonical({"version": order[0], "order": order[1]}) + b"\n"


def _parse(line: bytes) -> StoredOrder | None:
    try:
        parsed = msgspec.json.decode(line, type=_Line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return parsed.version, parsed.order


def _write_all(descriptor: int, data: bytes) -> None:
    """A raw write may be short (a full disk writes what fits); the rest then fails by itself."""
    while data:
        data = data[os.write(descriptor, data) :]
