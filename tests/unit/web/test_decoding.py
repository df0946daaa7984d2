from __future__ import annotations

import json
from typing import Any

import pytest

from service.errors import InvalidField, MalformedJson
from service.web.decoding import decode_batch, decode_rights

NIR, DAY = "185057511600159", "1985-05-12"


@pytest.mark.parametrize(
    ("body", "detail", "pointer"),
    [
        ({}, "the field beneficiary is missing", ""),
        ({"beneficiary": {"nir": NIR}}, "the field birth_date is missing", "/beneficiary"),
        ({"beneficiary": {"nir": NIR, "birth_date": DAY, NIR: 1}}, "a field that is not known here", "/beneficiary"),
        ({"beneficiary": {"nir": NIR, "birth_date": DAY}, "finess": 1}, "of the wrong type or out of range", "/finess"),
        ([], "of the wrong type or out of range", ""),
    ],
)
def test_a_developer_hears_what_is_wrong_in_our_words(body: Any, detail: str, pointer: str):
    with pytest.raises(InvalidField) as refused:
        decode_rights(json.dumps(body).encode())
    assert (refused.value.detail, refused.value.pointer) == (detail, pointer)


def queries(*texts: str) -> bytes:
    return ('{"queries": [' + ", ".join(texts) + "]}").encode()


def test_the_queries_of_a_batch_are_taken_as_they_are():
    texts = ['{"a": 1}', "[ 1,2 ]", "null", '"x:y"', "1e400", '{"a": 1, "a": {"b": 2}}']
    assert [query.decode() for query in decode_batch(queries(*texts))] == texts


@pytest.mark.parametrize(
    "raw",
    [
        queries("{}")[:-1],
        queries("{}") + b"x",
        queries("{]"),
        queries("{}", ""),
        queries("NaN"),
        queries('"\\ud800"'),
        queries("{}").decode().encode("utf-16"),
        b'{"queries": ["\xc3\x28"]}',
        b'{"queries": [1], "queries": [1]}',
        b'{"queries": [":"], "queries": [":"]}',
        b'{"queries": [], "qu\\u0065ries": [1]}',
        queries("[" * 100_000),
    ],
)
def test_an_envelope_that_is_not_one_text_with_distinct_keys_is_refused(raw: bytes):
    with pytest.raises(MalformedJson):
        decode_batch(raw)


@pytest.mark.parametrize("count", [0, 201])
def test_a_batch_has_its_bounds(count: int):
    with pytest.raises(InvalidField) as refused:
        decode_batch(queries(*["{}"] * count))
    assert refused.value.pointer == "/queries"
