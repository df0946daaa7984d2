"""`POST /v1/rights/batch`: what a hub gets for many queries is what it would get for each."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.web.problems import CATALOGUE
from tests.faces.desk import COUNTER, FICTITIOUS, HUB, NOBODY, Counter, holder, person
from tests.faces.test_rights_fuzz import MARKER, NAMES, SETTINGS, mutated, values
from tests.fleet import Installation, Reply

FINESS, OTHER = "750012346", "2A0012346"
QUERY: dict[str, Any] = {"beneficiary": NOBODY, "finess": FINESS}
LIMIT = 256 * 1024


@pytest.fixture
def link(served: Installation) -> Iterator[HTTPConnection]:
    """A connection: it stays with one worker."""
    with closing(served.connect()) as connection:
        yield connection


def post(
    served: Installation,
    body: Any,
    client: str = HUB,
    headers: dict[str, str] | None = None,
    link: HTTPConnection | None = None,
) -> Reply:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    told = {"Content-Type": "application/json", **served.bearer(client), **(headers or {})}
    return served.request("POST", "/v1/rights/batch", raw, told, connection=link)


def results(reply: Reply) -> list[dict[str, Any]]:
    assert reply.status == 200, reply.body
    parsed = reply.json()
    assert list(parsed) == ["results"]
    found: list[dict[str, Any]] = parsed["results"]
    return found


def told(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer without what is of this one time it was given."""
    return {name: value for name, value in answer.items() if name not in ("id", "at", "asked")}


def many(counter: Counter) -> list[dict[str, Any]]:
    """Queries of every kind about the demo's people, for two pharmacies."""
    rows = [rows[0] for rows in list(counter.people.values())[:60]]
    queries: list[dict[str, Any]] = []
    for number, row in enumerate(rows):
        query: dict[str, Any] = {"finess": (FINESS, OTHER)[number % 2]}
        query["beneficiary"] = holder(row) if number % 3 == 1 else person(row)
        if number % 3 == 2:
            query["amc"] = row["amc"]
        if number % 4 == 3:
            query["benefits"] = ["PH7", "PH4"]
        queries.append(query)
    fictitious = {"beneficiary": {**NOBODY, "nir": FICTITIOUS}, "finess": FINESS}
    return [*queries, QUERY, queries[0], queries[0], fictitious]


def test_a_batch_says_what_its_queries_would_have_heard_alone(counter: Counter, served: Installation):
    queries = many(counter)
    found = results(post(served, {"queries": queries}))
    assert len(found) == len(queries)
    for query, result in zip(queries, found, strict=True):
        alone = counter.response(query, HUB)
        assert told(result["answer"]) == told(alone["answer"])
        assert result["counter_text"] == alone["counter_text"]
    assert {result["answer"]["status"] for result in found} >= {"open", "unknown"}


def test_every_receipt_of_a_batch_proves_its_own_answer(counter: Counter, served: Installation):
    queries = many(counter)
    found = results(post(served, {"queries": queries}))
    heads = {counter.verify(query, result) for query, result in zip(queries, found, strict=True)}
    assert len({head.journal for head in heads}) == 1
    assert (
        len({result["opening"] for result in found}) == len({result["answer"]["id"] for result in found}) == len(found)
    )
    first = found[0]
    body = json.dumps({"answer": first["answer"], "receipt": found[1]["receipt"]}).encode()
    verdict = served.request("POST", "/v1/receipts/verify", body, {"Content-Type": "application/json"}).json()
    assert verdict["valid"] is False


def test_the_order_of_a_batch_changes_no_answer(counter: Counter, served: Installation):
    queries = many(counter)
    forth, back = (results(post(served, {"queries": asked})) for asked in (queries, queries[::-1]))
    assert [told(result["answer"]) for result in forth] == [told(result["answer"]) for result in back[::-1]]


def test_a_query_that_is_wrong_is_told_so_in_its_place_and_the_others_are_answered(served: Installation):
    wrong = [
        ({**QUERY, "beneficiary": {**NOBODY, "nir": "185057599900151"}}, "invalid_field", "/beneficiary/nir"),
        ({"beneficiary": NOBODY}, "finess_not_allowed", "/finess"),
        ({**QUERY, "finess": "130012342"}, "finess_not_allowed", "/finess"),
        ({**QUERY, "more": 1}, "invalid_field", ""),
        ({**QUERY, "service_date": "1999-01-01"}, "invalid_field", "/service_date"),
        (7, "invalid_field", ""),
        (None, "invalid_field", ""),
        ([QUERY], "invalid_field", ""),
    ]
    queries = [QUERY, *(query for query, _, _ in wrong), QUERY]
    found = results(post(served, {"queries": queries}))
    assert ["answer" in result for result in found] == [True, *[False] * len(wrong), True]
    for place, (_, code, pointer) in enumerate(wrong, 1):
        problem = found[place]["problem"]
        entry = CATALOGUE[code]
        assert (problem["type"], problem["status"]) == (f"/problems/{code}", entry.status)
        assert (problem["action"], problem["counter_text"]) == (entry.action, entry.counter_text)
        assert problem["pointer"] == f"/queries/{place}{pointer}"


def test_one_as_the_limit_says_and_one_more(served: Installation):
    assert len(results(post(served, {"queries": [QUERY] * 200}))) == 200
    reply = post(served, {"queries": [QUERY] * 201})
    assert (reply.status, reply.code, reply.json()["pointer"]) == (422, "invalid_field", "/queries")


@pytest.mark.parametrize(
    ("body", "code", "pointer"),
    [
        ({"queries": []}, "invalid_field", "/queries"),
        ({}, "invalid_field", ""),
        ([QUERY], "invalid_field", ""),
        (QUERY, "invalid_field", ""),
        ({"queries": QUERY}, "invalid_field", "/queries"),
        ({"queries": [QUERY], "more": 1}, "invalid_field", ""),
        (b"", "malformed_json", None),
        (b'{"queries": [{}', "malformed_json", None),
        (b'{"queries": [{}]} {}', "malformed_json", None),
        (b'{"queries": [{"a": NaN}]}', "malformed_json", None),
        (b'{"queries": [{"a": "\xff"}]}', "malformed_json", None),
        (b'\xef\xbb\xbf{"queries": [{}]}', "malformed_json", None),
        (b'{"queries": [], "queries": [{}]}', "malformed_json", None),
        (b'{"queries": [{}], "quer\\u0069es": [{}]}', "malformed_json", None),
        (b'{"queries": [' + b"[" * 50_000 + b"]" * 50_000 + b"]}", "malformed_json", None),
    ],
)
def test_an_envelope_that_is_none_is_refused_whole(served: Installation, body: Any, code: str, pointer: str | None):
    reply = post(served, body)
    assert (reply.status, reply.code) == (CATALOGUE[code].status, code)
    assert reply.json().get("pointer") == pointer


def test_a_body_of_the_limit_is_read_and_one_byte_more_is_not(served: Installation):
    body = json.dumps({"queries": [QUERY]}).encode()
    assert post(served, body + b" " * (LIMIT - len(body))).status == 200
    assert post(served, body + b" " * (LIMIT - len(body) + 1)).code == "body_too_large"


@pytest.mark.parametrize("client", [COUNTER, "vendor"])
def test_only_a_hub_sends_batches(served: Installation, client: str):
    reply = post(served, {"queries": [QUERY]}, client)
    assert (reply.status, reply.code) == (403, "scope_missing")


def test_without_a_token_nothing_of_a_batch_is_looked_at(served: Installation):
    reply = served.request("POST", "/v1/rights/batch", b"{", {"Content-Type": "application/json"})
    assert (reply.status, reply.code) == (401, "token_missing")


def test_a_suspended_service_answers_no_batch(counter: Counter, served: Installation):
    served.set_mode("suspended")
    try:
        assert post(served, b"{").code == "service_suspended"
    finally:
        served.set_mode("degraded")


def test_a_retry_of_a_batch_is_the_same_batch(served: Installation, link: HTTPConnection):
    same = {"X-Request-Id": str(uuid.uuid4())}
    queries = {"queries": [QUERY, {}, QUERY]}
    first, again = (post(served, queries, headers=same, link=link) for _ in range(2))
    assert first.body == again.body
    assert post(served, {"queries": [QUERY]}, headers=same, link=link).code == "conflict"
    assert post(served, queries, link=link).body != first.body


def test_a_batch_that_was_refused_whole_is_not_remembered(served: Installation, link: HTTPConnection):
    same = {"X-Request-Id": str(uuid.uuid4())}
    assert post(served, {"queries": []}, headers=same, link=link).status == 422
    assert post(served, {"queries": [QUERY]}, headers=same, link=link).status == 200


def test_each_pharmacy_of_a_hub_has_its_budget_and_the_hub_its_ceiling(served: Installation, link: HTTPConnection):
    served.register("small-hub", "hub", FINESS, OTHER, "330012342", options=("--daily", "4", "--unknown", "100"))
    first = results(post(served, {"queries": [QUERY] * 6}, "small-hub", link=link))
    assert ["answer" in result for result in first] == [True] * 4 + [False] * 2
    # Half of the three budgets together is 6: the second pharmacy has 2.
    other = {**QUERY, "finess": OTHER}
    rest = results(post(served, {"queries": [other, {}, other, other, QUERY]}, "small-hub", link=link))
    codes = [result["problem"]["code"] if "problem" in result else "answered" for result in rest]
    assert codes == ["answered", "invalid_field", "answered", "budget_exhausted", "budget_exhausted"]
    refused = rest[3]["problem"]
    assert (refused["pointer"], refused["action"]) == ("/queries/3", "check_card")
    assert 0 < refused["retry_after"] <= 25 * 3600


def test_a_pharmacys_part_of_a_batch_is_as_large_as_its_burst(served: Installation, link: HTTPConnection):
    served.register("slow-hub", "hub", FINESS, OTHER, options=("--burst", "3"))
    other = {**QUERY, "finess": OTHER}
    found = results(post(served, {"queries": [QUERY] * 5 + [other] * 2}, "slow-hub", link=link))
    codes = [result["problem"]["code"] if "problem" in result else "answered" for result in found]
    assert codes == ["answered"] * 3 + ["too_fast"] * 2 + ["answered"] * 2


def check(reply: Reply, queries: int | None = None) -> None:
    text = reply.body.decode() + str(reply.headers)
    assert MARKER not in text
    assert "marque" not in text
    if reply.status != 200:
        assert reply.code in {"malformed_json", "invalid_field", "body_too_large"}
        return
    found = results(reply)
    assert queries is None or len(found) == queries
    for place, result in enumerate(found):
        if "problem" not in result:
            assert set(result) == {"answer", "counter_text", "opening", "receipt"}
            continue
        problem = result["problem"]
        assert problem["code"] in {"malformed_json", "invalid_field", "finess_not_allowed"}
        steps = problem["pointer"].split("/")[1:]
        assert steps[:2] == ["queries", str(place)]
        assert all(step in NAMES or step.isdecimal() for step in steps[2:]), steps


def test_no_query_of_a_batch_makes_the_service_fail_or_repeat_itself(served: Installation, link: HTTPConnection):
    @SETTINGS
    @given(queries=st.lists(mutated() | values.map(lambda value: json.dumps(value).encode()), max_size=6))
    def holds(queries: list[bytes]) -> None:
        good = json.dumps(QUERY).encode()
        reply = post(served, b'{"queries":[' + b",".join([good, *queries, good]) + b"]}", link=link)
        check(reply, len(queries) + 2 if reply.status == 200 else None)
        if reply.status == 200:
            assert "answer" in results(reply)[0]
            assert "answer" in results(reply)[-1]

    holds()


@st.composite
def scratched(draw: st.DrawFn) -> bytes:
    raw = bytearray(json.dumps({"queries": [{**QUERY, "domain": MARKER}, QUERY]}).encode())
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(raw)))
        end = min(len(raw), start + draw(st.integers(0, 6)))
        raw[start:end] = draw(st.binary(max_size=6) | st.sampled_from([b'"', b"{", b"}", b"[", b"]", b",", b":"]))
    return bytes(raw)


def test_no_envelope_makes_the_service_fail_or_repeat_itself(served: Installation, link: HTTPConnection):
    @SETTINGS
    @given(body=scratched() | values.map(lambda value: json.dumps({"queries": value}).encode()) | st.binary())
    def holds(body: bytes) -> None:
        check(post(served, body, link=link))

    holds()
