"""A retry under its X-Request-Id is the same request: same answer, same receipt."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from typing import Any

import pytest

from tests.faces.desk import COUNTER, HUB, NOBODY, Counter
from tests.fleet import Reply

QUERY = {"beneficiary": NOBODY}
OTHER = {"beneficiary": NOBODY, "benefits": ["PH7"]}


@pytest.fixture
def one_worker(counter: Counter) -> Iterator[HTTPConnection]:
    """A connection: it stays with one worker, which alone remembers what it answered."""
    with closing(counter.served.connect()) as connection:
        yield connection


@pytest.fixture
def retry_id() -> str:
    return str(uuid.uuid4())


def post(counter: Counter, link: HTTPConnection, request_id: str, query: Any = QUERY, client: str = COUNTER) -> Reply:
    return counter.post(query, client, {"X-Request-Id": request_id}, link)


def test_a_retry_gets_the_same_bytes(counter: Counter, one_worker: HTTPConnection, retry_id: str):
    first, *others = (post(counter, one_worker, retry_id) for _ in range(4))
    assert first.status == 200
    assert {other.body for other in others} == {first.body}
    assert {other.headers["X-Request-Id"] for other in others} == {retry_id}


def test_the_same_id_in_capitals_is_the_same_id(counter: Counter, one_worker: HTTPConnection, retry_id: str):
    first, second = post(counter, one_worker, retry_id), post(counter, one_worker, retry_id.upper())
    assert second.body == first.body
    assert second.headers["X-Request-Id"] == retry_id.upper()


def test_another_body_under_the_same_id_is_a_conflict(counter: Counter, one_worker: HTTPConnection, retry_id: str):
    first = post(counter, one_worker, retry_id)
    conflict = post(counter, one_worker, retry_id, OTHER)
    assert (conflict.status, conflict.code) == (409, "conflict")
    assert post(counter, one_worker, retry_id).body == first.body


def test_one_space_more_is_another_body(counter: Counter, one_worker: HTTPConnection, retry_id: str):
    post(counter, one_worker, retry_id)
    assert post(counter, one_worker, retry_id, json.dumps(QUERY).encode() + b" ").code == "conflict"


def test_another_clients_same_id_is_another_request(counter: Counter, one_worker: HTTPConnection, retry_id: str):
    first = post(counter, one_worker, retry_id)
    second = post(counter, one_worker, retry_id, OTHER, "neighbour")
    assert second.status == 200
    assert second.json()["answer"]["for"]["client"] == "neighbour"
    assert post(counter, one_worker, retry_id).body == first.body


def test_a_hubs_same_id_for_another_pharmacy_is_another_request(
    counter: Counter, one_worker: HTTPConnection, retry_id: str
):
    first, second = (
        post(counter, one_worker, retry_id, {**QUERY, "finess": finess}, HUB) for finess in ("750012346", "2A0012346")
    )
    assert (first.status, second.status) == (200, 200)
    assert first.json()["answer"]["id"] != second.json()["answer"]["id"]


@pytest.mark.parametrize("request_id", ["4711", "", "not-a-uuid"])
def test_an_id_that_is_no_uuid_retries_nothing(counter: Counter, one_worker: HTTPConnection, request_id: str):
    first, second = (post(counter, one_worker, request_id) for _ in range(2))
    assert first.json()["answer"]["id"] != second.json()["answer"]["id"]


def test_what_was_refused_is_not_remembered(counter: Counter, one_worker: HTTPConnection, retry_id: str):
    assert post(counter, one_worker, retry_id, b"{").status == 400
    assert post(counter, one_worker, retry_id).status == 200


def test_a_retry_is_refused_like_anything_once_the_service_is_suspended(
    counter: Counter, one_worker: HTTPConnection, retry_id: str
):
    first = post(counter, one_worker, retry_id)
    counter.served.set_mode("suspended")
    try:
        assert post(counter, one_worker, retry_id).code == "service_suspended"
    finally:
        counter.served.set_mode("degraded")
    assert post(counter, one_worker, retry_id).body == first.body
