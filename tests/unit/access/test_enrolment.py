from __future__ import annotations

import datetime as dt
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from service.access.clients import client_body, parse_client
from service.access.enrolment import (
    ENROLMENT_TYP,
    REFUSAL_TEXTS,
    Refusal,
    judge_entries,
    open_vendor_list,
    parse_allowed,
    slow_start,
)
from service.errors import InvalidField, SignatureRejected
from service.jwk import private_jwk
from service.jws import sign_compact
from tests.unit.control.control_chain import NOON, make_key

KEYS = [make_key() for _ in range(4)]
VENDOR_KEY = make_key()
ALLOWED = frozenset({"750012346", "750012353", "750012361"})
DAY = dt.timedelta(days=1)


def vendor(**members: Any) -> Any:
    suspended = members.pop("suspended", False)
    body = {"class": "vendor", "keys": [dict(VENDOR_KEY.public.jwk)], **members}
    return parse_client("editor", body, suspended=suspended)


def entry(number: int = 0, **members: Any) -> dict[str, Any]:
    return {"id": f"ph-{number}", "finess": "750012346", "jwk": dict(KEYS[number].public.jwk), **members}


def document(*entries: Any, key: Any = VENDOR_KEY, typ: str = ENROLMENT_TYP, **members: Any) -> str:
    payload = {"iss": "editor", "aud": "ici", "iat": int(NOON.timestamp()), "clients": list(entries), **members}
    return sign_compact(json.dumps(payload).encode(), typ, key)


def known(client_id: str, **members: Any) -> dict[str, Any]:
    body = {"class": "pharmacy", "finess": ["750012346"], "keys": [dict(KEYS[0].public.jwk)], **members}
    return {client_id: SimpleNamespace(body=client_body(parse_client(client_id, body)), suspended=False)}


# --- the list ----------------------------------------------------------------------------------------------------


def test_a_list_the_vendor_signed_is_opened():
    opened = open_vendor_list(document(entry()), vendor(), "ici", NOON)
    assert (opened.vendor, opened.issued, opened.entries) == ("editor", NOON, (entry(),))


@pytest.mark.parametrize(
    "made",
    [
        document(key=make_key()),
        document(typ="relais-order+jws"),
        document(iss="other"),
        document(aud="ici-test"),
        document(aud=["ici"]),
        document(iat=int((NOON - 31 * DAY).timestamp())),
        document(iat=int((NOON + DAY).timestamp())),
        document(iat=10**18),
        document(iat=1.5),
        document(more=1),
        document(clients={}),
        document(*[{}] * 50_001),
        document().rpartition(".")[0] + "." + document(entry()).rpartition(".")[2],
        "not.a.jws",
        "",
    ],
    ids=lambda text: str(len(text)),
)
def test_a_list_that_is_not_the_vendors_for_here_and_now_is_refused(made: str):
    with pytest.raises(SignatureRejected):
        open_vendor_list(made, vendor(), "ici", NOON)


@pytest.mark.parametrize(
    "signer",
    [
        vendor(suspended=True),
        vendor(**{"class": "operator"}),
        vendor(keys=[{**VENDOR_KEY.public.jwk, "exp": int(NOON.timestamp())}, dict(KEYS[0].public.jwk)]),
    ],
    ids=["suspended", "another class", "key ended"],
)
def test_a_vendor_that_may_not_speak_signs_no_list(signer: Any):
    with pytest.raises(SignatureRejected):
        open_vendor_list(document(entry()), signer, "ici", NOON)


# --- its entries -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (None, Refusal.MALFORMED),
        ([], Refusal.MALFORMED),
        ({**entry(), "daily": 9999}, Refusal.MALFORMED),
        ({"id": "ph-0", "finess": "750012346"}, Refusal.MALFORMED),
        (entry(jwk="text"), Refusal.MALFORMED),
        (entry(id="PH 0"), Refusal.ID_INVALID),
        (entry(id=7), Refusal.ID_INVALID),
        (entry(finess="75"), Refusal.FINESS_INVALID),
        (entry(finess=750012346), Refusal.FINESS_INVALID),
        (entry(finess="\u0667" * 9), Refusal.FINESS_INVALID),
        (entry(finess="750012999"), Refusal.FINESS_NOT_ALLOWED),
        (entry(jwk=private_jwk(KEYS[0].key)), Refusal.KEY_PRIVATE),
        (entry(jwk={"kty": "oct", "k": "AAAA"}), Refusal.KEY_PRIVATE),
        (entry(jwk={"kty": "RSA", "n": "AQAB", "e": "AQAB"}), Refusal.KEY_REJECTED),
        (entry(jwk={"kty": ["OKP"], "crv": {}}), Refusal.KEY_REJECTED),
        (entry(jwk={"kty": "OKP", "crv": "Ed25519", "x": "A" * 43}), Refusal.KEY_REJECTED),
        (entry(jwk={**KEYS[0].public.jwk, "use": "enc"}), Refusal.KEY_REJECTED),
    ],
    ids=str,
)
def test_an_entry_is_refused_by_itself(bad: Any, reason: Refusal):
    judged = judge_entries([bad, entry(1, finess="750012353")], ALLOWED, {})
    assert [(one.position, one.reason) for one in judged.refused] == [(0, reason)]
    assert [client.id for client in judged.new] == ["ph-1"]
    assert judged.counts() == {reason.value: 1}


def test_what_is_no_id_is_not_echoed():
    assert judge_entries([entry(id="1 85 05 75 116 001 59")], ALLOWED, {}).refused[0].id is None
    assert judge_entries([entry(finess="75")], ALLOWED, {}).refused[0].id == "ph-0"


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"id": "ph-0", "finess": "750012353"}, Refusal.ID_TWICE),
        ({}, Refusal.FINESS_TWICE),
        ({"finess": "750012353", "jwk": dict(KEYS[0].public.jwk)}, Refusal.KEY_TWICE),
    ],
    ids=["id", "finess", "key"],
)
def test_of_two_that_share_what_is_ones_own_neither_is_taken(other: dict[str, Any], reason: Refusal):
    judged = judge_entries([entry(), entry(1, **other), entry(2, finess="750012361")], ALLOWED, {})
    assert [(one.position, one.reason) for one in judged.refused] == [(0, reason), (1, reason)]
    assert [client.id for client in judged.new] == ["ph-2"]


@pytest.mark.parametrize(
    ("there", "reason"),
    [
        (known("ph-0", keys=[dict(KEYS[1].public.jwk)]), Refusal.ID_TAKEN),
        (known("ph-0", finess=["750012353"]), Refusal.ID_TAKEN),
        (known("ph-0", **{"class": "vendor"}), Refusal.ID_TAKEN),
        (known("ph-9", keys=[dict(KEYS[1].public.jwk)]), Refusal.FINESS_TAKEN),
        (known("ph-9", finess=["750012353"]), Refusal.KEY_TAKEN),
    ],
    ids=["another key", "another finess", "another class", "finess of another", "key of another"],
)
def test_nobody_who_is_registered_is_replaced_or_doubled(there: dict[str, Any], reason: Refusal):
    judged = judge_entries([entry()], ALLOWED, there)
    assert (judged.new, judged.known, [one.reason for one in judged.refused]) == ((), (), [reason])


def test_a_hub_that_acts_for_a_pharmacy_does_not_keep_it_from_its_own_key():
    there = known("hub", **{"class": "hub"}, keys=[dict(KEYS[1].public.jwk)])
    assert [client.id for client in judge_entries([entry()], ALLOWED, there).new] == ["ph-0"]


def test_who_is_registered_so_already_is_neither_new_nor_refused():
    overlapping = [dict(KEYS[1].public.jwk), {**KEYS[0].public.jwk, "exp": 2_000_000_000}]
    for there in (known("ph-0"), known("ph-0", daily=200), known("ph-0", keys=overlapping)):
        judged = judge_entries([entry()], ALLOWED, there)
        assert (judged.new, judged.known, judged.refused) == ((), ("ph-0",), ())


def test_a_client_of_a_list_has_the_budgets_of_its_class_and_begins_with_a_share():
    (client,) = judge_entries([entry(finess="750012346")], ALLOWED, {}).new
    assert (client.client_class, client.daily, client.unknown, client.finess) == ("pharmacy", 800, 300, ("750012346",))
    assert slow_start(client, 25) == {"daily": 200, "unknown": 75}
    assert slow_start(parse_client("a", {**client_body(client), "daily": 2, "unknown": 0}), 25) == {
        "daily": 1,
        "unknown": 1,
    }


def test_every_refusal_has_its_text():
    assert set(REFUSAL_TEXTS) == set(Refusal)


def test_the_allowed_numbers_are_lines():
    assert parse_allowed("750012346\n\n  2a0012346  # Ajaccio\n# none\n") == {"750012346", "2A0012346"}
    for text in ("", "# nobody\n", "750012346\n75\n", "750012346;750012353\n"):
        with pytest.raises(InvalidField):
            parse_allowed(text)
    with pytest.raises(InvalidField, match="line 2"):
        parse_allowed("750012346\n75\n")


def test_the_documentations_lines_sign_a_list_that_is_opened():
    page = Path(__file__).parents[3] / "docs" / "clients.md"
    found = re.search(r"^```python\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert found is not None
    names: dict[str, Any] = {}
    exec(found[1], names)  # noqa: S102 - the page's own code
    made = names["sign_list"]([entry()], "editor", "ici", private_jwk(VENDOR_KEY.key))
    assert open_vendor_list(made, vendor(), "ici", dt.datetime.now(dt.UTC)).entries == (entry(),)
