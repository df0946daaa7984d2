"""A worker serves what the orders name, and nothing that an earlier order named."""

from __future__ import annotations

import asyncio
import datetime as dt
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from service import follower as follower_module
from service.access.registry import Registry
from service.control.state import Activation, ClientState, State, View
from service.errors import SnapshotRefused
from service.follower import Follower
from service.snapshot.steps import Step
from service.snapshot.supply import Code, Facts, Limits, Supply, Warned, supply_of
from tests.unit.control.control_chain import registration

NOW = dt.datetime(2024, 2, 5, 9, 30, tzinfo=dt.UTC)


class FakeVault:
    """Snapshots by sequence that open at once, later, or not at all."""

    def __init__(self) -> None:
        self.damaged: set[int] = set()

    def open(self, activation: Activation, _: dt.datetime) -> tuple[Any, Any]:
        if activation.sequence in self.damaged:
            raise SnapshotRefused(Step.FILES, "a whole file", "cut short")
        snapshot = SimpleNamespace(sequence=activation.sequence, digest=activation.digest, close=lambda: None)
        return snapshot, SimpleNamespace(signed_at=NOW)


class FakeContext:
    """What a follower keeps in step."""

    def __init__(self) -> None:
        self.clock = SimpleNamespace(now=lambda: NOW)
        self.registry = Registry()
        self.upstream = None
        self.view = State().view(NOW)
        self.snapshot: Any = None
        self.knowledge: Any = None
        self.refusal: str | None = None
        self.clock_suspect = False
        self.warnings: tuple[Warned, ...] = ()

    def supply(self, now: dt.datetime) -> Supply:
        zero = dt.timedelta(0)
        return msgspec.structs.replace(supply_of(Facts(), Limits(zero, zero, zero), now), warnings=self.warnings)

    def follow(self, view: View, snapshot: Any, knowledge: Any, *, clock_suspect: bool) -> None:
        self.view, self.snapshot, self.knowledge, self.clock_suspect = view, snapshot, knowledge, clock_suspect


def view_of(sequence: int, version: int) -> View:
    return State(version=version, activation=Activation(sequence, f"digest-{sequence}", version, NOW)).view(NOW)


async def test_a_refusal_does_not_tell_where_the_files_lie(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(follower_module, "RETRY_SECONDS", 0.01)
    context: Any = FakeContext()

    def missing(*_: object) -> None:
        raise FileNotFoundError(2, "No such file or directory", "/srv/secrets/relais/pepper.jwk")

    vault: Any = SimpleNamespace(open=missing)
    follower = Follower(context, vault)
    await follower.follow(view_of(1, version=1))
    for _ in range(500):
        if context.refusal is not None:
            break
        await asyncio.sleep(0.01)
    assert context.refusal == "snapshot 1: [Errno 2] No such file or directory: 'pepper.jwk'"
    await follower.close()


async def test_a_snapshot_that_did_not_open_is_forgotten_when_the_former_is_pinned(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(follower_module, "RETRY_SECONDS", 0.01)
    context: Any = FakeContext()
    vault: Any = FakeVault()
    follower = Follower(context, vault)
    await follower.follow(view_of(1, version=1))
    await follower.settled()
    vault.damaged = {2}
    await follower.follow(view_of(2, version=2))
    for _ in range(500):
        if context.refusal is not None:
            break
        await asyncio.sleep(0.01)
    assert "snapshot 2" in context.refusal
    await follower.follow(view_of(1, version=3))
    vault.damaged = set()  # it could be opened now, but nobody wants it any more
    await follower.settled()
    assert (context.snapshot.sequence, context.refusal) == (1, None)
    await follower.close()


def test_a_warning_about_the_supply_is_logged_when_it_comes_and_when_it_goes():
    context: Any = FakeContext()
    follower = Follower(context, None)
    with capture_logs() as logs:
        context.warnings = (Warned(Code.FREEZE, "nothing newer"),)
        for _ in range(3):
            follower.serving()
        context.warnings = (Warned(Code.LOAD_REFUSED, "9 guard"),)
        for _ in range(3):
            follower.serving()
    assert [(line["event"], line["log_level"], line["code"]) for line in logs] == [
        ("supply_warning", "warning", "freeze"),
        ("supply_warning", "warning", "load_refused"),
        ("supply_warning_over", "info", "freeze"),
    ]
    assert [line.get("detail") for line in logs] == ["nothing newer", "9 guard", None]


async def test_a_long_list_of_clients_is_parsed_between_requests():
    context: Any = FakeContext()
    follower = Follower(context, None)
    body = registration(finess=["750012346"])
    clients = {f"p{number}": ClientState(body, version=number) for number in range(1, 401)}
    await follower.follow(State(clients=clients).view(NOW))
    assert context.registry.waiting > 300
    turns = 0
    while context.registry.waiting:
        turns += 1
        await asyncio.sleep(0)
    assert turns > 10
    await follower.close()


async def test_orders_that_come_while_a_long_list_is_parsed_are_followed_at_once():
    context: Any = FakeContext()
    follower = Follower(context, None)
    body = registration(finess=["750012346"])
    clients = {f"p{number}": ClientState(body, version=number) for number in range(1, 401)}
    await follower.follow(State(clients=clients).view(NOW))
    suspended = {**clients, "p400": ClientState(body, version=401, suspended=True)}
    await follower.follow(State(clients=suspended).view(NOW))
    assert context.registry.waiting
    assert context.registry.get("p400").suspended
    await follower.close()
