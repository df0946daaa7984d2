from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.control.format import (
    ORDER_TYP,
    check_order,
    check_reason,
    order_digest,
    order_payload,
    parse_order,
    parse_scope,
)
from service.errors import ChainBroken, InvalidField, SignatureRejected
from service.jws import verify_compact
from tests.unit.control.control_chain import HOUR, KEY, NOON, make_chain, make_order, registration

FULL_WIDTH = {ord("0") + n: 0xFF10 + n for n in range(10)}
ARABIC_INDIC = {ord("0") + n: 0x0660 + n for n in range(10)}
LEAKS = [
    "1850575116001",
    "dossier 185057511600159 rouvert",
    "1 85 05 75 116 001 59",
    "1.85.05.75.116.001",
    "1-85-05-75-116-001",
    "1\u201385\u201305\u201375\u2013116\u2013001",  # as a word processor writes it
    "1\u201185\u201105\u201175\u2011116\u2011001",
    "185057\u00a0511600159",
    "285052B033005",
    "2 85 05 2a 033 005",
    "185057511600".translate(FULL_WIDTH) + "1",
    "1850575116001".translate(ARABIC_INDIC),
]
HARMLESS = [
    "Visiodroits coupé le 29/01/2024 à 15:00",
    "rappelé au 0805 62 00 10",
    "ticket 123456789012",
    "du 2024-01-29T15:00 au 2024-02-12T13:00",
    "é" * 500,
]


@pytest.mark.parametrize("reason", LEAKS)
def test_reason_that_may_hold_a_nir_is_refused_without_echo(reason: str):
    with pytest.raises(InvalidField) as caught:
        check_reason(reason)
    assert caught.value.pointer == "/reason"
    assert reason not in str(caught.value)


@pytest.mark.parametrize("reason", HARMLESS)
def test_reason_with_dates_and_telephone_numbers_passes(reason: str):
    check_reason(reason)


@pytest.mark.parametrize(
    "reason", ["", "  ", "x" * 501, "a\nb", "\x1b[2J", "\ud800", "185057\u200b5116001", "18505751\u00ad16001"]
)
def test_reason_that_is_empty_long_or_unprintable_is_refused(reason: str):
    with pytest.raises(InvalidField):
        check_reason(reason)


def test_payload_is_the_rfc_8785_form_of_eleven_members():
    order = make_order(until=NOON + HOUR, reason="Visiodroits coupé")
    expected = {
        "version": 1,
        "at": "2024-01-29T12:00:00.000Z",
        "actor": "cli:test",
        "kind": "mode.set",
        "scope": "*",
        "body": {"mode": "suspended"},
        "reason": "Visiodroits coupé",
        "until": "2024-01-29T13:00:00.000Z",
        "approved_by": None,
        "previous": None,
    }
    text = json.dumps(expected, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert order_payload(order) == text.encode()


def test_previous_is_the_digest_of_the_order_before_as_signed():
    first, second = make_chain([make_order(), make_order()])
    order = parse_order(verify_compact(second, ORDER_TYP, {KEY.kid: KEY.public}))
    digest = base64.urlsafe_b64encode(hashlib.sha256(first.encode("ascii")).digest()).rstrip(b"=").decode()
    assert order.previous == digest == order_digest(first)


@given(
    at=st.datetimes(min_value=dt.datetime(1970, 1, 1), max_value=dt.datetime(2100, 1, 1), timezones=st.just(dt.UTC)),  # noqa: DTZ001
    reason=st.text(st.characters(exclude_categories=["Cs"]), max_size=500),
    body=st.dictionaries(st.text("abcdef", min_size=1), st.none() | st.booleans() | st.integers(0, 2**53 - 1)),
)
def test_parse_gives_back_what_was_written(at: dt.datetime, reason: str, body: dict[str, Any]):
    at = at.replace(microsecond=at.microsecond // 1000 * 1000)
    order = make_order(at=at, reason=reason, body=body)
    assert parse_order(order_payload(order)) == order


def _bent(change: Callable[[bytes], bytes]) -> bytes:
    return change(order_payload(make_order()))


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"null",
        b"\xff",
        b"[" * 100_000,
        _bent(lambda text: text[:-1]),
        _bent(lambda text: text + b" "),
        _bent(lambda text: text.replace(b'"version":1', b'"version":1.0')),
        _bent(lambda text: text.replace(b'"version":1', b'"version":true')),
        _bent(lambda text: text.replace(b'"version":1', b'"version":0')),
        _bent(lambda text: text.replace(b'"version":1', b'"version":1,"version":1')),
        _bent(lambda text: text.replace(b'"version":1', b'"version":1,"zone":1')),
        _bent(lambda text: text.replace(b"12:00:00.000Z", b"13:00:00.000+01:00")),
        _bent(lambda text: text.replace(b"12:00:00.000Z", b"12:00:00.000")),
        _bent(lambda text: text.replace(b'"suspended"', b"1.5")),
        _bent(lambda text: text.replace(b'"approved_by":null,', b"")),
    ],
)
def test_payload_in_any_other_form_is_refused(payload: bytes):
    with pytest.raises(SignatureRejected):
        parse_order(payload)


PINNED = {"sequence": 1, "digest": "A" * 43}


@pytest.mark.parametrize(
    ("members", "pointer"),
    [
        ({"scope": "75"}, "/scope"),
        ({"scope": "075671993x"}, "/scope"),
        ({"body": {"mode": "off"}}, "/body"),
        ({"body": {"mode": "live", "extra": 1}}, "/body"),
        ({"until": NOON}, "/until"),
        ({"actor": " "}, "/actor"),
        ({"kind": "client.suspend", "scope": "pharm", "body": {}, "until": NOON + HOUR}, "/until"),
        ({"kind": "client.suspend", "scope": "Pharm/1", "body": {}}, "/scope"),
        ({"kind": "snapshot.pin", "body": {"sequence": 1, "digest": "A" * 43}}, "/until"),
        ({"kind": "snapshot.pin", "body": {"sequence": 1, "digest": "A" * 43}, "until": NOON}, "/until"),
        (
            {"kind": "snapshot.pin", "body": {"sequence": 1, "digest": "A" * 43}, "until": NOON + HOUR, "reason": " "},
            "/reason",
        ),
        ({"kind": "snapshot.unpin", "scope": "0775671993", "body": {}}, "/scope"),
        ({"kind": "snapshot.activate", "body": {"sequence": 0, "digest": "", "counts": {}}}, "/body"),
        ({"kind": "snapshot.activate", "body": {"sequence": 1, "digest": "", "counts": {"a": 0.5}}}, "/body"),
        ({"kind": "snapshot.activate", "body": {"sequence": 1, "digest": "", "counts": {"é": 1}}}, "/body"),
        ({"kind": "snapshot.activate", "body": {"sequence": 1, "digest": "", "counts": {"a": 2**53}}}, "/body"),
        ({"kind": "client.register", "scope": "pharm", "body": {}}, "/body/keys"),
        (
            {"kind": "client.register", "scope": "pharm", "body": registration(keys=[{"kty": "OKP", "d": "x"}])},
            "/body/keys",
        ),
        ({"kind": "client.limit", "scope": "pharm", "body": {"daily": "many"}}, "/body"),
        (
            {"kind": "notice.put", "body": {"id": "n", "severity": "info", "from": None, "text": "1850575116001"}},
            "/body/text",
        ),
    ],
)
def test_order_that_may_not_be_issued_names_the_member(members: dict[str, Any], pointer: str):
    with pytest.raises(InvalidField) as caught:
        check_order(make_order(**members))
    assert caught.value.pointer == pointer


def test_body_nested_without_end_is_refused():
    nest: list = []
    for _ in range(5000):
        nest = [nest]
    with pytest.raises(InvalidField):
        check_order(make_order(kind="client.register", scope="pharm", body=registration(more=nest)))


def test_kind_of_a_later_version_is_not_issued():
    with pytest.raises(ChainBroken):
        check_order(make_order(kind="client.propose", scope="pharm", body={}))


@pytest.mark.parametrize(("text", "scope"), [("*", "*"), ("775671993", "0775671993"), ("99999997", "0099999997")])
def test_scope_is_canonical(text: str, scope: str):
    assert parse_scope(text) == scope


@pytest.mark.parametrize(
    "text", ["", "**", "1234567", "12345678901", "775671993".translate(ARABIC_INDIC), " 775671993"]
)
def test_scope_that_is_no_amc_is_refused(text: str):
    with pytest.raises(InvalidField):
        parse_scope(text)
