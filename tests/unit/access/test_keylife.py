from __future__ import annotations

import datetime as dt
from types import SimpleNamespace
from typing import Any

import pytest

from service.access.clients import Client, client_body, client_members, parse_client
from service.access.keylife import EndingKey, ending_keys, rotated
from service.errors import InvalidField
from tests.unit.control.control_chain import NOON, make_key

A, B, C = (make_key().public for _ in range(3))
DAY = dt.timedelta(days=1)
WEEK = 7 * DAY


def seconds(instant: dt.datetime) -> int:
    return int(instant.timestamp())


def client(*keys: Any) -> Client:
    return parse_client("ph-1", {"class": "pharmacy", "finess": ["750012346"], "keys": list(keys)})


def test_the_former_key_stays_for_the_overlap_and_no_longer():
    after = parse_client("ph-1", rotated(client(A.jwk), B, WEEK, NOON))
    assert set(after.keys) == {A.kid, B.kid}
    last = seconds(NOON + WEEK)
    assert after.has_key(A.kid, last - 1)
    assert not after.has_key(A.kid, last)
    assert after.has_key(B.kid, last * 2)


def test_all_but_the_keys_stays():
    before = client(A.jwk)
    after = rotated(before, B, WEEK, NOON)
    assert {**after, "keys": None} == {**client_body(before), "keys": None}


def test_without_an_overlap_only_the_new_key_is_left():
    assert rotated(client(A.jwk), B, dt.timedelta(0), NOON)["keys"] == [B.jwk]


def test_a_key_that_ends_sooner_keeps_its_end_and_one_that_ended_is_left_out():
    soon, past = seconds(NOON + DAY), seconds(NOON)
    keys = rotated(client({**A.jwk, "exp": soon}, {**C.jwk, "exp": past}), B, WEEK, NOON)["keys"]
    assert keys == [B.jwk, {**A.jwk, "exp": soon}]


def test_a_key_the_client_has_is_refused_and_one_that_ended_may_come_back():
    with pytest.raises(InvalidField):
        rotated(client(A.jwk), A, WEEK, NOON)
    ended = client({**A.jwk, "exp": seconds(NOON)}, C.jwk)
    assert rotated(ended, A, WEEK, NOON)["keys"] == [A.jwk, {**C.jwk, "exp": seconds(NOON + WEEK)}]


def test_no_more_keys_than_a_registration_holds():
    full = client(*(make_key().public.jwk for _ in range(16)))
    with pytest.raises(InvalidField):
        rotated(full, B, WEEK, NOON)


@pytest.mark.parametrize("end", [True, 1.0, "1", None, 0, -1, 10**15], ids=str)
def test_an_end_is_whole_seconds(end: object):
    with pytest.raises(InvalidField) as refused:
        client({**A.jwk, "exp": end})
    assert refused.value.pointer == "/keys/0/exp"


def test_an_end_survives_being_written_and_is_shown():
    ending = client({**A.jwk, "exp": 2_000_000_000}, B.jwk)
    body = client_body(ending)
    assert parse_client("ph-1", body) == ending
    shown = client_members("ph-1", body)["keys"]
    assert [(key["kid"], key.get("exp")) for key in shown] == [(A.kid, 2_000_000_000), (B.kid, None)]


def test_keys_that_end_soon_are_named_with_whether_any_is_left():
    end = NOON + 2 * DAY
    ending = {**A.jwk, "exp": seconds(end)}
    known = {
        "alone": client(ending),
        "other": client(ending, B.jwk),
        "later": client({**A.jwk, "exp": seconds(NOON + WEEK)}),
        "over": client({**A.jwk, "exp": seconds(NOON)}),
        "never": client(A.jwk),
    }
    registrations: Any = {name: SimpleNamespace(body=client_body(one)) for name, one in known.items()}
    registrations["broken"] = SimpleNamespace(body={"keys": [{"exp": 1}]})
    assert ending_keys(registrations, NOON) == [
        EndingKey("alone", A.kid, end, last=True),
        EndingKey("other", A.kid, end, last=False),
    ]
