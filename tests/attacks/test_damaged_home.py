"""Damage to what a home itself keeps: its floor, its orders, its trust file, its settings, its pepper, its snapshots.

None of it lets an evil snapshot in. A command says in one line what is wrong with which file; a server goes on with
what it has, or starts and is not ready until the file is back.
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from service.app import open_ledger
from service.cli.common import open_home
from tests.attacks.forge import RECORDS, Forge
from tests.attacks.regions import regions
from tests.attacks.victim import Said, Victim
from tests.fleet import Installation, free_ports, wait_until

PLACES = 12
OWN = ("node/floor.json", "node/orders.jsonl", "control/orders.db", "trust.json", "relais.toml", "keys/pepper.jwk")


@pytest.fixture
def used(victim: Victim) -> Victim:
    """A home whose workers have run: the node has its own copy of the orders."""
    ledger = open_ledger(*open_home(victim.home))
    ledger.close()
    assert (victim.home / "node" / "orders.jsonl").exists()
    return victim


def is_clear(said: Said) -> bool:
    """Done, or one line that people can read."""
    lines = said.err.splitlines()
    if said.status == 0:
        return not lines
    return said.status in (1, 3) and len(lines) == 1 and lines[0].startswith("relais: ") and lines[0].isprintable()


@pytest.mark.parametrize("name", OWN)
def test_a_flipped_bit_lets_nothing_evil_in_and_is_told_in_one_line(
    used: Victim, forge: Forge, second: Path, name: str
):
    path = used.home / name
    good = path.read_bytes()
    evil = forge.rewrite(forge.copy(second, "evil"), sequence=1)
    stranger = forge.copy(second, "unsigned")
    forge.sign(stranger, b"{}", ["signer-1", "stranger"])
    chosen = random.Random(name)  # noqa: S311 - the same places in every run
    outcomes = set()
    for place in chosen.sample(range(len(good)), PLACES):
        bit = chosen.randrange(8)
        forge.flip(path, place, bit)
        for folder in (evil, stranger):
            said = used.load(folder)
            assert said.status in (1, 3), (place, bit)
            assert is_clear(said), (place, bit, said)
        said = used.load(second, "--dry-run")
        assert is_clear(said), (place, bit, said)
        outcomes.add(said.status)
        path.write_bytes(good)
        assert used.state().active == 1
    assert outcomes != {0} or name == "node/orders.jsonl"  # a command reads the store, and never the node's copy
    used.takes(second, 2)


HALF = -1
UNREADABLE = "expected the floor of the highest snapshot activated to be readable; found damaged"
GROSS: dict[str, tuple[str, bytes | int, int, str]] = {
    "an empty floor": (
        "node/floor.json",
        b"",
        1,
        f"refused at step 5 sequence against the floor: {UNREADABLE}",
    ),
    "half a floor": (
        "node/floor.json",
        HALF,
        1,
        f"refused at step 5 sequence against the floor: {UNREADABLE}",
    ),
    "an empty store": ("control/orders.db", b"", 3, "orders.db is not the store it should be"),
    "a store of rubbish": (
        "control/orders.db",
        b"rubbish" * 3000,
        3,
        "orders.db does not answer: file is not a database",
    ),
    "an empty trust file": ("trust.json", b"", 1, "{home}/trust.json: not JSON with distinct members"),
    "half a trust file": ("trust.json", HALF, 1, "{home}/trust.json: not JSON with distinct members"),
    "an empty pepper": ("keys/pepper.jwk", b"", 1, "the pepper file is not a JWK set"),
    "half a pepper": ("keys/pepper.jwk", HALF, 1, "the pepper file is not a JWK set"),
    "settings of rubbish": (
        "relais.toml",
        b"\xff\xfe",
        1,
        "relais.toml is not TOML: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte",
    ),
}


@pytest.mark.parametrize(("name", "content", "status", "line"), GROSS.values(), ids=GROSS)
def test_a_damaged_file_is_named_and_nothing_is_loaded(
    used: Victim, second: Path, name: str, content: bytes | int, status: int, line: str
):
    path = used.home / name
    good = path.read_bytes()
    before = used.state()
    path.write_bytes(good[: len(good) // 2] if isinstance(content, int) else content)
    said = used.load(second)
    assert (said.status, said.out) == (status, "")
    assert said.err == f"relais: {line.format(home=used.home)}\n"
    path.write_bytes(good)
    assert used.state() == before
    used.takes(second, 2)


def test_recovery_from_a_damaged_floor_is_to_remove_it_where_the_store_has_it(
    victim: Victim, forge: Forge, first: Path, second: Path
):
    """docs/trust_format.md, Floor: "restore it from a backup, or remove it where the control store still has [it]"."""
    victim.takes(second, 2)
    path = victim.home / "node" / "floor.json"
    path.write_bytes(path.read_bytes()[:-1])
    assert victim.load(forge.copy(first)).status == 1
    path.unlink()
    again = frozenset({"node/floor.json"})
    step = "5 sequence against the floor"
    victim.refuses(forge.copy(first), step, "sequence 2 or above", "1: a rollback", but=again)
    assert victim.floor()["sequence"] == 2
    victim.takes(forge.rewrite(forge.copy(second), sequence=3), 3)


# Servers


class Started(Exception):  # noqa: N818 - no error: how far a start came
    """The command would have become the server now."""


@pytest.fixture
def start(used: Victim, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Said | None]:
    """`relais serve`, up to where the server takes over (None) or what it said instead."""
    rights, admin = free_ports(2)
    monkeypatch.setenv("RELAIS_RIGHTS_PORT", str(rights))
    monkeypatch.setenv("RELAIS_ADMIN_PORT", str(admin))
    monkeypatch.setenv("RELAIS_HOME", str(used.home))

    def becomes_the_server(*_: object) -> None:
        raise Started

    monkeypatch.setattr(os, "execv", becomes_the_server)

    def start(server: str) -> Said | None:
        try:
            return used.relais("serve", server)
        except Started:
            return None

    return start


def test_no_server_starts_on_orders_or_settings_it_cannot_read(used: Victim, start: Callable[[str], Said | None]):
    for server in ("rights", "admin"):
        assert start(server) is None
    store, copy = used.home / "control" / "orders.db", used.home / "node" / "orders.jsonl"
    good = {path: path.read_bytes() for path in (store, copy, used.home / "relais.toml")}
    for server in ("rights", "admin"):
        store.write_bytes(b"rubbish" * 3000)
        assert start(server) is None  # on the node's own copy, which it says in readiness
        copy.write_bytes(b"rubbish\n")
        said = start(server)
        assert said is not None
        assert (said.status, said.out, said.err.count("\n")) == (3, "", 1), said
        (used.home / "relais.toml").write_bytes(b"[rights]\nport = 'eight'\n")
        said = start(server)
        assert said is not None
        assert (said.status, said.out, said.err.count("\n")) == (1, "", 1), said
        for path, data in good.items():
            path.write_bytes(data)
        assert start(server) is None


@pytest.fixture
def served(victim: Victim) -> Iterator[Installation]:
    """A real server of one worker."""
    rights, admin = free_ports(2)
    made = Installation(victim.home, ports={"rights": rights, "admin": admin})
    try:
        made.start("rights", workers=1)
        yield made
    finally:
        made.close()


def refusal(served: Installation) -> str:
    """Why readiness says there is no snapshot; empty while it says nothing."""
    reasons = served.request("GET", "/readyz").json()["reasons"]
    return next((str(one["detail"]) for one in reasons if one["code"] == "no_snapshot"), "")


def refuses(served: Installation, told: str) -> None:
    """A worker says why it opens nothing, and answers nobody."""
    wait_until(lambda: told in refusal(served), 60, lambda: f"{refusal(served)}: {served.read_log('rights')}")
    reply = served.ask(served.example("open"))
    assert (reply.status, reply.code) == (503, "no_snapshot")


def test_a_running_server_keeps_what_it_has_and_a_new_worker_serves_nothing_unverified(
    served: Installation, victim: Victim, second: Path
):
    asked, records = served.example("open"), victim.home / "snapshots" / "1" / RECORDS
    trust, pepper, floor = (victim.home / name for name in ("trust.json", "keys/pepper.jwk", "node/floor.json"))
    good = {path: path.read_bytes() for path in (trust, pepper, floor, records)}
    before = served.ask(asked).json()["answer"]["contracts"]
    for path in (trust, pepper, floor):
        path.write_bytes(good[path][: len(good[path]) // 2])
        assert served.ask(asked).json()["answer"]["contracts"] == before
    assert served.request("GET", "/readyz").json()["ready"]

    # Its worker dies; the next one has to open everything anew, and tries again as often as a file comes back.
    (worker,) = served.workers()
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: served.workers() not in ([], [worker]), 30, lambda: "no worker came back")
    refuses(served, "trust.json: not JSON")
    trust.write_bytes(good[trust])
    refuses(served, "the pepper file is not a JWK set")
    change_in_place(records, regions(good[records])["sealed value"][0])
    pepper.write_bytes(good[pepper])
    refuses(served, "refused at step 7 file list, sizes, SHA-256: expected records.lmdb of SHA-256")
    floor.write_bytes(good[floor])

    assert victim.relais("snapshot", "verify", records.parent).status == 1
    victim.takes(second, 2)
    wait_until(lambda: served.ask(asked).status == 200, 30, lambda: served.read_log("rights"))
    assert served.ask(asked).headers["Relais-Snapshot"] == "2"
    assert served.request("GET", "/readyz").json() == {"ready": True, "reasons": []}
    assert served.stop("rights") == 0


def change_in_place(path: Path, place: int) -> None:
    """One bit of a held file, and its times put back: whoever opens it looks at the content again."""
    state = path.stat()
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(place)
        bits = file.read(1)[0]
        file.seek(place)
        file.write(bytes([bits ^ 1]))
    path.chmod(0o444)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
