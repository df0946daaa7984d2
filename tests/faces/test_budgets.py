"""A client that has read what it may is told so, and until when."""

from __future__ import annotations

import re

import pytest

from tests.faces.desk import NOBODY, Counter
from tests.fleet import Installation

QUERY = {"beneficiary": NOBODY}
FINESS = "330012342"


@pytest.fixture(scope="module")
def small(served: Installation) -> str:
    """A pharmacy with five lookups a day."""
    served.register("small", "pharmacy", FINESS, options=("--daily", "5"))
    return "small"


@pytest.fixture(scope="module")
def slow(served: Installation) -> str:
    """A pharmacy that may ask once at once."""
    served.register("slow", "pharmacy", FINESS, options=("--burst", "1"))
    return "slow"


def test_the_days_lookups_end_with_a_429_that_says_how_the_limits_stand(
    counter: Counter, served: Installation, small: str
):
    connection = served.connect()
    replies = [counter.post(QUERY, small, None, connection) for _ in range(8)]
    connection.close()
    assert [reply.status for reply in replies] == [200] * 5 + [429] * 3
    last = replies[-1]
    assert (last.code, last.json()["action"]) == ("budget_exhausted", "check_card")
    assert 0 < int(last.headers["Retry-After"]) <= 25 * 3600
    assert last.headers["RateLimit-Policy"] == '"daily";q=5;w=86400, "burst";q=60;w=12'
    assert re.fullmatch(r'"daily";r=0;t=\d+, "burst";r=\d+;t=1', last.headers["RateLimit"])


def test_a_retry_is_answered_without_a_charge_and_an_error_costs_none(counter: Counter, served: Installation):
    served.register("careful", "pharmacy", FINESS, options=("--daily", "2"))
    same = {"X-Request-Id": "018d7892-0000-4000-8000-000000000000"}
    connection = served.connect()
    assert counter.post({"beneficiary": {}}, "careful", None, connection).status == 422
    first, again = (counter.post(QUERY, "careful", same, connection) for _ in range(2))
    assert first.body == again.body
    assert [counter.post(QUERY, "careful", None, connection).status for _ in range(2)] == [200, 429]
    assert counter.post(QUERY, "careful", same, connection).body == first.body
    connection.close()


def test_too_fast_is_told_apart_and_passes(counter: Counter, served: Installation, slow: str):
    connection = served.connect()
    replies = [counter.post(QUERY, slow, None, connection) for _ in range(6)]
    connection.close()
    refused = [reply for reply in replies if reply.status == 429]
    assert refused, "six at once passed a burst of one"
    assert {(reply.code, reply.json()["action"]) for reply in refused} == {("too_fast", "retry")}
    assert {reply.headers["Retry-After"] for reply in refused} == {"1"}
