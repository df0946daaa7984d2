from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

from service.access import clients
from service.access import registry as registrations
from service.access.clients import client_body, parse_client
from service.access.registry import Registry
from tests.unit.access.forge import Bench
from tests.unit.access.test_clients import EC, ED, body, public


@dataclass(frozen=True)
class Registered:
    body: dict[str, Any] = field(default_factory=body)
    suspended: bool = False
    suspended_finess: dict[str, object] = field(default_factory=dict)


def test_registry_follows_additions_changes_and_removals():
    registry = Registry()
    assert registry.get("p") is None
    registry.update({"p": Registered(), "q": Registered(body(daily=5))})
    assert len(registry) == 2
    assert registry.get("q") == parse_client("q", body(daily=5))
    registry.update({"q": Registered(body(daily=6, keys=[public(EC)]), suspended=True)})
    assert registry.get("p") is None
    changed = registry.get("q")
    assert changed is not None
    assert (changed.daily, set(changed.keys), changed.suspended) == (6, {EC.kid}, True)


def test_registry_parses_only_what_is_new_or_changed():
    registry = Registry()
    state = {f"p{number}": Registered(body(daily=number)) for number in range(50)}
    registry.update(state)
    before = {client_id: registry.get(client_id) for client_id in state}
    with patch.object(registrations, "parse_client", wraps=parse_client) as parse:
        registry.update(dict(state))
        registry.update({client_id: Registered(dict(one.body)) for client_id, one in state.items()})
        assert parse.call_count == 0
        registry.update({**state, "p7": Registered(body(daily=700)), "new": Registered()})
        assert sorted(call.args[0] for call in parse.call_args_list) == ["new", "p7"]
    assert all(registry.get(client_id) is one for client_id, one in before.items() if client_id != "p7")


def test_a_suspension_is_followed_without_parsing_keys():
    registry = Registry()
    registered = body()
    registry.update({"p": Registered(registered)})
    with patch.object(registrations, "parse_client", wraps=parse_client) as parse:
        registry.update({"p": Registered(registered, suspended=True)})
        assert parse.call_count == 0
    suspended = registry.get("p")
    assert suspended is not None
    assert suspended.suspended
    registry.update({"p": Registered(registered)})
    assert registry.get("p") == parse_client("p", body())


def test_other_budgets_are_followed_without_parsing_keys():
    registry = Registry()
    registry.update({"p": Registered(body())})
    with patch.object(clients, "parse_keys", wraps=clients.parse_keys) as parse:
        registry.update({"p": Registered(body(daily=7))})
        assert parse.call_count == 0
        registry.update({"p": Registered(body(daily=7, keys=[public(ED, exp=2_000_000_000)]))})
        assert parse.call_count == 1
    ending = registry.get("p")
    assert ending == parse_client("p", body(daily=7, keys=[public(ED, exp=2_000_000_000)]))


def test_a_registration_that_does_not_parse_harms_that_client_alone():
    registry = Registry()
    registry.update({"p": Registered(), "q": Registered()})
    registry.update({"p": Registered(body(keys=[{}])), "q": Registered(body(daily=1))})
    assert registry.get("p") is None
    assert registry.get("q") == parse_client("q", body(daily=1))
    assert registry.broken == {"p"}
    registry.update({"p": Registered(), "q": Registered()})
    assert registry.get("p") == parse_client("p", body())
    assert not registry.broken
    registry.update({"p": Registered(body(keys=[{}]))})
    registry.update({})
    assert not registry.broken


def many(number: int, **members: Any) -> dict[str, Registered]:
    return {f"p{n}": Registered(body(daily=n, **members)) for n in range(number)}


def test_many_registrations_at_once_are_parsed_when_asked_for_or_in_portions():
    registry = Registry()
    with patch.object(registrations, "parse_client", wraps=parse_client) as parse:
        registry.update(many(1_000))
        assert parse.call_count == 0
        assert registry.get("p999") == parse_client("p999", body(daily=999))
        registry.settle(100)
        assert parse.call_count == 101
    while registry.waiting:
        registry.settle(300)
    assert len(registry) == 1_000
    assert registry.get("p500") == parse_client("p500", body(daily=500))


def test_nobody_is_seen_as_before_while_many_wait():
    registry = Registry()
    registry.update(many(1_000))
    registry.settle(1_000)
    registry.update({name: Registered(dict(one.body), suspended=True) for name, one in many(1_000).items()})
    assert registry.waiting == 1_000
    assert all(client is not None and client.suspended for client in (registry.get(f"p{n}") for n in range(1_000)))
    registry.update({name: one for name, one in many(1_000).items() if name != "p7"})
    assert registry.get("p7") is None
    registry.update(many(1_000, keys=[public(EC)]))
    registry.update(many(1_000, keys=[public(ED)]))
    client = registry.get("p8")
    assert client is not None
    assert set(client.keys) == {ED.kid}


def test_a_bad_registration_among_many_is_named_once_it_was_parsed():
    registry = Registry()
    registry.update({**many(1_000), "bad": Registered(body(keys=[{}]))})
    assert registry.get("bad") is None
    assert registry.broken == {"bad"}
    registry.settle(1_000)
    assert len(registry) == 1_000


def test_the_end_of_many_limits_parses_no_key_again():
    registry = Registry()
    registry.update(many(1_000))
    registry.settle(1_000)
    with patch.object(clients, "parse_keys", wraps=clients.parse_keys) as parse:
        registry.update({name: Registered(body(daily=9_999)) for name in many(1_000)})
        registry.settle(1_000)
        assert parse.call_count == 0
    assert {client.daily for n in range(1_000) if (client := registry.get(f"p{n}"))} == {9_999}


def test_the_bench_registers_like_an_order():
    bench = Bench()
    for client_id, client in bench.clients.items():
        assert parse_client(client_id, client_body(client)) == client


def test_one_change_among_20_000_clients_parses_one_registration():
    registry = Registry()
    state = {f"p{number}": Registered(body(daily=number)) for number in range(20_000)}
    registry.update(state)
    assert len(registry) == 20_000
    with patch.object(registrations, "parse_client", wraps=parse_client) as parse:
        registry.update({**state, "p7": Registered(body(keys=[public(EC)]))})
    assert [call.args[0] for call in parse.call_args_list] == ["p7"]
