"""A home under attack: the doors its operators have, and everything an attack must leave as it was."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
import os
import re
import signal
import sqlite3
import stat
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from service.cli.common import open_home
from service.cli.main import _run
from service.clock import SystemClock
from service.rights.model import Absence, Contract
from service.snapshot.catalog import Catalog
from service.snapshot.opened import open_snapshot
from service.snapshot.pepper import load_peppers
from service.snapshot.trustfile import load_trust
from service.snapshot.verify import Ordered

Contracts = tuple[Contract, ...] | Absence

#: What a refusal itself writes, and what belongs to no state: locks, and the databases, whose rows are read instead.
_PASSING: Final = re.compile(
    r"snapshots/last-load\.verdict\.json|.*\.lock|snapshots/\.pin|run/.*|control/.*\.db(-wal|-shm)?"
)
#: Beyond it a command that should refuse at once hangs on what it was given.
_PATIENCE_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class Said:
    """What a command answered."""

    status: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class State:
    """All that counts in a home: the orders as stored, and every file by its content."""

    orders: tuple[tuple[int, str], ...]
    files: Mapping[str, str]

    @property
    def active(self) -> int | None:
        """The sequence the last order about snapshots chose, read without the product."""
        chosen = [
            order["body"]["sequence"]
            for order in (_payload(jws) for _, jws in self.orders)
            if order["kind"] in ("snapshot.activate", "snapshot.pin")
        ]
        return chosen[-1] if chosen else None

    @property
    def folders(self) -> set[str]:
        """What lies among the snapshots, staging folders and verdicts included."""
        return {name.split("/")[1] for name in self.files if name.startswith("snapshots/")}

    def without(self, names: Collection[str]) -> dict[str, str]:
        """The files, but for these."""
        return {name: what for name, what in self.files.items() if name not in names}


@dataclass(frozen=True, slots=True)
class Victim:
    """A demo home nobody serves, in a directory of its own."""

    home: Path

    def relais(self, *words: str | Path) -> Said:
        """A command, in this process. One that hangs on an evil input fails the test."""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), _patience():
            status = _run([*map(str, words), "--home", str(self.home)])
        return Said(int(status), out.getvalue(), err.getvalue())

    def load(self, folder: Path, *words: str) -> Said:
        """`relais snapshot load`."""
        return self.relais("snapshot", "load", folder, *words)

    def find(
        self, identities: Iterable[str], sequence: int | None = None, folder: Path | None = None
    ) -> dict[str, Contracts]:
        """What a snapshot (default: the active one) knows of people, opened as a worker opens it."""
        place, settings = open_home(self.home)
        folder = folder or place.snapshots / str(sequence or self.state().active)
        payload = _decoded(json.loads((folder / "manifest.json").read_bytes())["payload"])
        digest, number = hashlib.sha256(payload).digest(), json.loads(payload)["sequence"]
        now = SystemClock().now()
        snapshot = open_snapshot(
            folder,
            Ordered(number, base64.urlsafe_b64encode(digest).rstrip(b"=").decode()),
            trust=load_trust(place.trust, now, demo=settings.instance.demo),
            peppers=load_peppers(place.path(settings.keys.pepper)),
            now=now,
            bases=Catalog.of(place).path,
        )
        try:
            return {identity: snapshot.find(identity) for identity in identities}
        finally:
            snapshot.close()

    def held(self) -> dict[int, str]:
        """State by sequence, as `relais snapshot list` says it."""
        listed = json.loads(self.relais("snapshot", "list", "--json").out)["snapshots"]
        return {one["sequence"]: one["state"] for one in listed}

    def floor(self) -> dict[str, Any]:
        """The floor beside the node."""
        floor: dict[str, Any] = json.loads((self.home / "node" / "floor.json").read_bytes())
        return floor

    def verdict(self, folder: Path | None = None) -> dict[str, Any]:
        """The verdict beside a source, or the home's on the last load."""
        path = self.home / "snapshots" / "last-load.verdict.json"
        if folder is not None:
            path = folder.with_name(f"{folder.name}.verdict.json")
        verdict: dict[str, Any] = json.loads(path.read_bytes())
        return verdict

    def state(self) -> State:
        """Everything that must be as before after a refusal."""
        with closing(sqlite3.connect(self.home / "control" / "orders.db")) as store:
            orders = tuple(store.execute("SELECT version, jws FROM orders ORDER BY version").fetchall())
        paths = {str(path.relative_to(self.home)): path for path in sorted(self.home.rglob("*"))}
        return State(orders, {name: _content(path) for name, path in paths.items() if not _PASSING.fullmatch(name)})

    def refuses(
        self,
        folder: Path,
        step: str,
        expected: str | re.Pattern[str],
        found: str | re.Pattern[str],
        *,
        but: frozenset[str] = frozenset(),
    ) -> None:
        """A load that is refused by one line, with a verdict, and leaves everything as it was (`but` these files)."""
        before, opened = self.state(), _descriptors()
        said = self.load(folder)
        assert _descriptors() == opened
        told = self.verdict(folder)
        assert self.verdict() == told
        assert (told["accepted"], told["step"]) == (False, step), told
        _is(told["expected"], expected)
        _is(told["found"], found)
        line = f"relais: refused at step {step}: expected {told['expected']}; found {told['found']}\n"
        assert (said.status, said.out, said.err) == (1, "", line)
        assert said.err.count("\n") == 1
        assert said.err.removesuffix("\n").isprintable(), ascii(said.err)
        after = self.state()
        assert after.orders == before.orders
        assert after.without(but) == before.without(but)

    def takes(self, folder: Path, sequence: int, *words: str) -> Said:
        """A load that succeeds: active, held as it was offered, the floor raised, nothing else left behind."""
        before = self.state()
        said = self.load(folder, *words)
        assert (said.status, said.err) == (0, ""), said
        after = self.state()
        assert after.active == sequence
        assert self.floor()["sequence"] == sequence
        assert {path.name: _content(path) for path in folder.iterdir()} == {
            path.name: _content(path) for path in (self.home / "snapshots" / str(sequence)).iterdir()
        }
        assert after.folders <= before.folders | {str(sequence), f"{sequence}.verdict.json"}
        assert not any(name.startswith(".") for name in after.folders)
        assert self.verdict()["accepted"]
        assert self.held()[sequence] == "active"
        return said


def in_child(work: Callable[[], int]) -> int:
    """`work`'s exit status in a process of its own; negative for the signal that killed it, or ours if it hangs."""
    child = os.fork()
    if not child:
        status = 99
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            status = work()
        finally:
            os._exit(status)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not (ended := os.waitpid(child, os.WNOHANG))[0]:
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.002)
    return os.waitstatus_to_exitcode(ended[1])


def _payload(jws: str) -> dict[str, Any]:
    payload: dict[str, Any] = json.loads(_decoded(jws.split(".")[1]))
    return payload


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _content(path: Path) -> str:
    """What lies at a path, in a word that differs whenever it does."""
    if path.is_symlink():
        return f"link to {path.readlink()}"
    state = path.stat()
    if stat.S_ISREG(state.st_mode):
        return hashlib.sha256(path.read_bytes()).hexdigest()
    return stat.filemode(state.st_mode)[0]


def _descriptors() -> int:
    """How many files this process has open: a worker meets the same refusal every two seconds."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def _is(said: str, expected: str | re.Pattern[str]) -> None:
    if isinstance(expected, str):
        assert said == expected
    else:
        assert expected.fullmatch(said), said


@contextlib.contextmanager
def _patience() -> Iterator[None]:
    def stop(_number: int, _frame: object) -> None:
        raise AssertionError("the command hangs")

    former = signal.signal(signal.SIGALRM, stop)
    signal.alarm(_PATIENCE_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, former)
