"""Bodies nobody thought of: never a 500, always a code of the catalogue, never an echo."""

from __future__ import annotations

import json
from contextlib import closing
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.web.problems import CATALOGUE
from tests.faces.desk import COUNTER, Counter
from tests.fleet import Reply

#: Planted wherever a body can hold a text. No field takes it: a tilde is in no alphabet of ours.
MARKER = "zz~marque~zz"
GOOD: dict[str, Any] = {
    "beneficiary": {"nir": "185057599900150", "birth_date": "1985-05-12", "birth_rank": 1},
    "amc": "0990000011",
    "service_date": "2024-02-05",
    "domain": "PHAR",
    "benefits": ["PH7", "PH4"],
    "finess": "330012342",
}
NAMES = [
    "beneficiary",
    "nir",
    "birth_date",
    "birth_rank",
    "amc",
    "member",
    "service_date",
    "domain",
    "benefits",
    "finess",
]
SETTINGS = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)

texts = st.one_of(st.just(MARKER), st.text(max_size=20).map(lambda text: f"{MARKER}{text}"), st.text(max_size=30))
numbers = st.one_of(st.integers(), st.integers(-2, 12), st.floats(), st.just(10**400))
values = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, texts),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(texts | st.sampled_from(NAMES), inner, max_size=4)
    ),
    max_leaves=8,
)
names = st.sampled_from(NAMES) | texts


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """The good query with members set, renamed, dropped or repeated, then written as JSON."""
    query = json.loads(json.dumps(GOOD))
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.sampled_from([query, query.get("beneficiary")]))
        if not isinstance(place, dict):
            continue
        match draw(st.sampled_from(["set", "add", "drop"])):
            case "set" if place:
                place[draw(st.sampled_from(sorted(place)))] = draw(values)
            case "drop" if place:
                place.pop(draw(st.sampled_from(sorted(place))))
            case _:
                place[draw(names)] = draw(values)
    text = json.dumps(query, ensure_ascii=draw(st.booleans()))
    if draw(st.booleans()):
        member = json.dumps({draw(names): draw(values)}, ensure_ascii=False)[1:-1]
        text = f"{text[:-1]}, {member}}}"
    return text.encode("utf-8", "surrogatepass")


@st.composite
def scratched(draw: st.DrawFn) -> bytes:
    """The good query with bytes put in, taken out or replaced."""
    raw = bytearray(json.dumps({**GOOD, "domain": MARKER}).encode())
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(raw)))
        end = min(len(raw), start + draw(st.integers(0, 6)))
        raw[start:end] = draw(
            st.binary(max_size=6) | st.sampled_from([b'"', b"{", b"}", b"[", b"]", b",", b":", b"\\u00"])
        )
    return bytes(raw)


def check(counter: Counter, reply: Reply) -> None:
    told = reply.body.decode() + str(reply.headers)
    assert MARKER not in told
    assert "marque" not in told
    if reply.status == 200:
        return
    assert reply.code in CATALOGUE
    assert reply.code != "internal"
    assert CATALOGUE[reply.code].status == reply.status
    assert reply.json()["counter_text"]
    assert reply.code in {"malformed_json", "invalid_field", "finess_not_allowed", "body_too_large"}
    pointer = reply.json().get("pointer", "")
    assert all(step in NAMES or step.isdecimal() for step in pointer.split("/")[1:]), pointer


@pytest.mark.parametrize(
    "bodies", [mutated(), scratched(), st.binary(max_size=200), values.map(lambda value: json.dumps(value).encode())]
)
def test_no_body_makes_the_service_fail_or_repeat_itself(counter: Counter, bodies: st.SearchStrategy[bytes]):
    with closing(counter.served.connect()) as link:

        @SETTINGS
        @given(body=bodies)
        def holds(body: bytes) -> None:
            check(counter, counter.post(body, COUNTER, None, link))

        holds()


def _text(value: Any) -> str:
    """JSON text, which tells 0 from false as Python's equality does not."""
    return json.dumps(value, sort_keys=True)


def test_no_receipt_makes_the_service_fail_or_repeat_itself(counter: Counter):
    response = counter.response(counter.served.example("open"))
    good = {"answer": response["answer"], "receipt": response["receipt"]}
    changes = st.dictionaries(st.sampled_from(["head", "index", "path"]) | texts, values, min_size=1, max_size=3)

    with closing(counter.served.connect()) as link:

        @SETTINGS
        @given(
            receipt=changes,
            answer=st.dictionaries(texts, values, max_size=2),
            more=st.dictionaries(texts, values, max_size=1),
        )
        def holds(receipt: Any, answer: Any, more: Any) -> None:
            body = {**more, "answer": {**good["answer"], **answer}, "receipt": {**good["receipt"], **receipt}}
            sent = json.dumps(body).encode()
            json_type = {"Content-Type": "application/json"}
            reply = counter.served.request("POST", "/v1/receipts/verify", sent, json_type, connection=link)
            assert reply.status in (200, 400, 422), reply.body
            assert MARKER not in reply.body.decode()
            if reply.status == 200:
                # A change may be none: a batch of one has an empty path already.
                unchanged = _text(body["answer"]) == _text(good["answer"]) and _text(body["receipt"]) == _text(
                    good["receipt"]
                )
                assert reply.json()["valid"] is unchanged

        holds()


def test_no_wish_for_a_mode_makes_the_admin_server_fail_or_repeat_itself(counter: Counter):
    served = counter.served
    before = served.admin("GET", "/admin/v1/modes/*").headers["ETag"]
    # `live` is refused whatever the rest is, so that no order comes of this.
    members = st.dictionaries(st.sampled_from(["reason", "until"]) | texts, values, max_size=3)

    @SETTINGS
    @given(body=members.map(lambda more: json.dumps({"mode": "live", **more}).encode()) | st.binary(max_size=60))
    def holds(body: bytes) -> None:
        reply = served.admin("PUT", "/admin/v1/modes/*", body, headers={"If-Match": "*"})
        assert reply.code in {"malformed_json", "invalid_field", "conflict"}
        assert MARKER not in reply.body.decode()

    holds()
    assert served.admin("GET", "/admin/v1/modes/*").headers["ETag"] == before
