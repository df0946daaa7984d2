from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.access import gate as gate_module
from service.access.clients import ClientClass, client_body
from service.access.gate import Gate, require_class, resolve_finess
from service.access.registry import Registry
from service.errors import (
    AccessError,
    ClientSuspended,
    FinessNotAllowed,
    ScopeMissing,
    TokenExpired,
    TokenInvalid,
    TokenMissing,
)
from tests.unit.access.forge import AUDIENCE, MISSING, NOW, Bench, T, client, new_ed
from tests.unit.access.wrong_signatures import FORGERIES


@dataclass(frozen=True)
class Registered:
    body: dict[str, Any]
    suspended: bool = False
    suspended_finess: dict[str, object] = field(default_factory=dict)


BENCH = Bench()


def registered(*keys: Any, suspended: bool = False) -> Registered:
    return Registered(client_body(client("pharmacy-a", *keys)), suspended)


def new_registry(*keys: Any, suspended: bool = False) -> Registry:
    registry = Registry()
    registry.update({"pharmacy-a": registered(*(keys or (BENCH.owner, BENCH.owner_ec)), suspended=suspended)})
    return registry


def later(seconds: float) -> dt.datetime:
    return NOW + dt.timedelta(seconds=seconds)


@pytest.fixture
def registry() -> Registry:
    return new_registry()


@pytest.fixture
def gate(registry: Registry) -> Gate:
    return Gate(AUDIENCE, registry, token_entries=4)


def test_a_good_token_opens_and_is_verified_once(gate: Gate):
    header = f"Bearer {BENCH.token()}"
    with patch.object(gate_module, "verify_token", wraps=gate_module.verify_token) as verify:
        assert [gate.authenticate(header, NOW).id for _ in range(3)] == ["pharmacy-a"] * 3
    assert verify.call_count == 1


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", "Basic YTpi", "Token abc", "bearer", "BearerX abc", "Bearer\tabc"]
)
def test_no_bearer_token_is_missing(gate: Gate, header: str | None):
    with pytest.raises(TokenMissing):
        gate.authenticate(header, NOW)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_is_case_insensitive(gate: Gate, scheme: str):
    assert gate.authenticate(f"{scheme} {BENCH.token()}", NOW).id == "pharmacy-a"


@pytest.mark.parametrize("name", FORGERIES)
def test_forgery_is_refused_also_when_the_true_token_is_remembered(gate: Gate, name: str):
    gate.authenticate(f"Bearer {BENCH.token()}", NOW)
    for _ in range(2):
        with pytest.raises(TokenInvalid) as caught:
            gate.authenticate(f"Bearer {FORGERIES[name](BENCH)}", NOW)
        assert caught.value.args == gate_module.token_refused().args


@pytest.mark.parametrize("spell", ["{}=", "{} ", " {}", "{}\n", "{}.", "{},{}", "{}%"])
def test_another_spelling_of_a_remembered_token_is_not_that_token(gate: Gate, spell: str):
    token = BENCH.token()
    gate.authenticate(f"Bearer {token}", NOW)
    with pytest.raises(TokenInvalid):
        gate.authenticate("Bearer " + spell.format(token, token), NOW)


def test_a_key_removed_after_the_token_was_remembered_stops_it(gate: Gate, registry: Registry):
    header = f"Bearer {BENCH.token()}"
    gate.authenticate(header, NOW)
    registry.update({"pharmacy-a": registered(BENCH.owner_ec)})
    with pytest.raises(TokenInvalid):
        gate.authenticate(header, NOW)
    assert gate.authenticate(f"Bearer {BENCH.token(BENCH.owner_ec)}", NOW).id == "pharmacy-a"


def test_a_key_replaced_under_the_same_id_stops_remembered_tokens(gate: Gate, registry: Registry):
    header = f"Bearer {BENCH.token()}"
    gate.authenticate(header, NOW)
    registry.update({"pharmacy-a": registered(new_ed())})
    with pytest.raises(TokenInvalid):
        gate.authenticate(header, NOW)


def test_a_client_removed_after_the_token_was_remembered_is_unknown(gate: Gate, registry: Registry):
    header = f"Bearer {BENCH.token()}"
    gate.authenticate(header, NOW)
    registry.update({})
    with pytest.raises(TokenInvalid) as caught:
        gate.authenticate(header, NOW)
    assert caught.value.args == gate_module.token_refused().args


def test_a_suspension_stops_remembered_tokens_and_its_end_lets_them_pass(gate: Gate, registry: Registry):
    header = f"Bearer {BENCH.token()}"
    gate.authenticate(header, NOW)
    registry.update({"pharmacy-a": registered(BENCH.owner, suspended=True)})
    with pytest.raises(ClientSuspended):
        gate.authenticate(header, NOW)
    registry.update({"pharmacy-a": registered(BENCH.owner)})
    assert gate.authenticate(header, NOW).id == "pharmacy-a"


def test_a_remembered_token_expires(gate: Gate):
    header = f"Bearer {BENCH.token()}"
    gate.authenticate(header, NOW)
    gate.authenticate(header, later(419))
    with pytest.raises(TokenExpired):
        gate.authenticate(header, later(420))


def test_memory_is_bounded_by_the_oldest_leaving(gate: Gate):
    tokens = [f"Bearer {BENCH.token(jti=str(number))}" for number in range(6)]
    for token in tokens:
        gate.authenticate(token, NOW)
    assert len(gate._verified) == 4
    with patch.object(gate_module, "verify_token", wraps=gate_module.verify_token) as verify:
        gate.authenticate(tokens[5], NOW)
        assert verify.call_count == 0
        gate.authenticate(tokens[0], NOW)
        assert verify.call_count == 1
    assert len(gate._verified) == 4


def test_what_was_refused_is_not_remembered(gate: Gate):
    for name in ("client_unknown", "signature_cut", "lifetime_of_601_seconds"):
        with pytest.raises(TokenInvalid):
            gate.authenticate(f"Bearer {FORGERIES[name](BENCH)}", NOW)
    assert not gate._verified


def test_a_longer_header_than_any_token_is_refused_before_it_is_hashed(gate: Gate):
    with patch.object(gate_module, "sha256") as digest, pytest.raises(TokenInvalid):
        gate.authenticate("Bearer " + "a" * 5000, NOW)
    digest.assert_not_called()


def test_a_token_for_one_server_does_not_open_the_other(registry: Registry):
    admin = Gate(f"{AUDIENCE}-admin", registry, token_entries=4)
    with pytest.raises(TokenInvalid):
        admin.authenticate(f"Bearer {BENCH.token()}", NOW)
    assert admin.authenticate(f"Bearer {BENCH.token(aud=f'{AUDIENCE}-admin')}", NOW).id == "pharmacy-a"


WARM_TOKEN = BENCH.token(nbf=T + 10)


@given(
    seconds=st.integers(min_value=-700, max_value=1000),
    key=st.sampled_from(["kept", "removed", "replaced"]),
    suspended=st.booleans(),
)
def test_a_remembered_token_is_judged_like_a_new_one(seconds: int, key: str, suspended: bool):  # noqa: FBT001
    keys = {"kept": (BENCH.owner,), "removed": (BENCH.owner_ec,), "replaced": (BENCH.thief,)}[key]
    registry = new_registry()
    warm = Gate(AUDIENCE, registry, token_entries=4)
    warm.authenticate(f"Bearer {WARM_TOKEN}", NOW)
    registry.update({"pharmacy-a": registered(*keys, suspended=suspended)})
    cold = Gate(AUDIENCE, registry, token_entries=4)
    assert verdict(warm, later(seconds)) == verdict(cold, later(seconds))


def verdict(gate: Gate, now: dt.datetime) -> tuple[str, object]:
    try:
        return "open", gate.authenticate(f"Bearer {WARM_TOKEN}", now).id
    except AccessError as error:
        return type(error).__name__, error.args


# --- what a client may ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ClientClass)
def test_scope_is_missing_for_every_class_not_named(kind: ClientClass):
    asker = client("x", BENCH.owner, **{"class": kind})
    require_class(asker, kind)
    for other in ClientClass:
        if other is not kind:
            with pytest.raises(ScopeMissing):
                require_class(asker, other)


def test_a_pharmacy_asks_for_itself():
    pharmacy = client("x", BENCH.owner)
    assert resolve_finess(pharmacy, None) == resolve_finess(pharmacy, "750012346") == "750012346"
    with pytest.raises(FinessNotAllowed):
        resolve_finess(pharmacy, "2A0012346")


@pytest.mark.parametrize("named", [None, "", "750012347", "75001234", "７50012346"])  # noqa: RUF001
def test_a_hub_names_one_of_its_pharmacies(named: str | None):
    hub = client("x", BENCH.owner, **{"class": "hub", "finess": ["750012346", "2A0012346"]})
    assert resolve_finess(hub, "2A0012346") == "2A0012346"
    with pytest.raises(FinessNotAllowed):
        resolve_finess(hub, named)


def test_a_hub_suspended_for_one_pharmacy_is_refused_for_that_one_only():
    body = client_body(client("hub", BENCH.owner, **{"class": "hub", "finess": ["750012346", "2A0012346"]}))
    registry = Registry()
    registry.update({"hub": Registered(body)})
    registry.update({"hub": Registered(body, suspended_finess={"2A0012346": "an order"})})
    hub = registry.get("hub")
    assert hub is not None
    assert resolve_finess(hub, "750012346") == "750012346"
    with pytest.raises(ClientSuspended):
        resolve_finess(hub, "2A0012346")
    registry.update({"hub": Registered(body)})
    hub = registry.get("hub")
    assert hub is not None
    assert resolve_finess(hub, "2A0012346") == "2A0012346"


@pytest.mark.parametrize("kind", ["vendor", "operator", "admin", "auditor"])
def test_others_ask_for_nobody(kind: str):
    asker = client("x", BENCH.owner, **{"class": kind, "finess": []})
    with pytest.raises(ScopeMissing):
        resolve_finess(asker, None)


@pytest.mark.parametrize("header", [{}, {"kid": MISSING}], ids=["kid", "no kid"])
def test_a_key_of_a_rotation_stops_at_its_end_also_for_a_token_known_already(header: dict[str, Any]):
    body = registered(BENCH.owner, BENCH.owner_ec).body
    body["keys"][0]["exp"] = T + 60
    registry = Registry()
    registry.update({"pharmacy-a": Registered(body)})
    gate = Gate(AUDIENCE, registry, token_entries=4)
    token = f"Bearer {BENCH.token(header=header)}"
    assert gate.authenticate(token, later(59)).id == "pharmacy-a"
    for known in (gate, Gate(AUDIENCE, registry, token_entries=4)):
        with pytest.raises(TokenInvalid):
            known.authenticate(token, later(60))
    assert gate.authenticate(f"Bearer {BENCH.token(BENCH.owner_ec)}", later(60)).id == "pharmacy-a"
