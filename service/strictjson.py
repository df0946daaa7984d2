"""JSON without its ambiguities: read with no member twice, no NaN or Infinity; written as RFC 8785 has it. Pure.

RFC 8259 §4 leaves repeated names to the reader; two readers of one signed or audited text must not differ.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import orjson

from service.errors import SignatureRejected


def parse_strict(data: bytes | str, parse_int: Callable[[str], Any] = int) -> Any:
    """The value of a JSON text. Raises `ValueError` for anything else, nesting beyond the stack included."""
    text = data if isinstance(data, str) else data.decode("utf-8")
    try:
        return json.loads(text, object_pairs_hook=_distinct, parse_int=parse_int, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def parse_json_object(data: bytes | str) -> dict[str, Any]:
    """One JSON object; raises `SignatureRejected`. For signed or operator-made input, never for callers' bodies."""
    try:
        value = parse_strict(data)
    except ValueError as error:
        raise SignatureRejected("not JSON with distinct members") from error
    if not isinstance(value, dict):
        raise SignatureRejected("not a JSON object")
    return value


def canonical(value: object) -> bytes:
    """RFC 8785 bytes of a value without floats whose keys are ASCII."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("an object has one member twice")
    return members


def _refuse_constant(_name: str) -> None:
    raise ValueError("NaN and Infinity are not JSON")
