from __future__ import annotations

import json
from typing import Any

import pytest

from service.errors import InvalidField
from service.web.decoding import decode_rights

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
