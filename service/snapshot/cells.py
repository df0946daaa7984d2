"""How a CSV writes the values of a row. Pure.

Null is an empty cell, a date `YYYY-MM-DD` or `YYYYMMDD`, a boolean `true`, `false`, `1` or `0`, and what has parts a
JSON text. Cells are given in the order of `COLUMNS`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from service.errors import RowRejected
from service.snapshot.columns import COLUMNS, MALFORMED, MISSING, dashed
from service.strictjson import parse_strict

#: What an empty cell means where a JSON text is due.
EMPTY_JSON: Final = {"suspended": "[]", "domains": "[]", "rates": "{}"}

_DATES: Final = frozenset({"valid_from", "valid_to", "card_valid_to", "closed_on"})
_BOOLEANS: Final = {"true": True, "1": True, "false": False, "0": False}
_INTEGER: Final = re.compile(r"[0-9]{1,4}")


def cell_values(cells: Sequence[str]) -> dict[str, Any]:
    """Values by column. Raises `RowRejected` for a cell that its column does not write like this."""
    return {column: _value(column, cell) for column, cell in zip(COLUMNS, cells, strict=True)}


def parse_integer(cell: str) -> int:
    """A small integer, with or without leading zeros. Raises `ValueError`."""
    if not _INTEGER.fullmatch(cell):
        raise ValueError
    return int(cell)


def parse_boolean(cell: str) -> bool:
    """A boolean in small letters or capitals. Raises `ValueError`."""
    try:
        return _BOOLEANS[cell.lower()]
    except KeyError:
        raise ValueError from None


def _value(column: str, cell: str) -> Any:
    if column in _DATES:
        return dashed(cell) or None
    parse = _PARSERS.get(column)
    if parse is None:
        return cell
    try:
        return parse(cell or EMPTY_JSON.get(column, ""))
    except ValueError:
        raise RowRejected(column, MALFORMED if cell else MISSING) from None


_PARSERS: Final[Mapping[str, Callable[[str], Any]]] = {
    "birth_rank": parse_integer,
    "payer_rank": parse_integer,
    "responsible": parse_boolean,
    **dict.fromkeys(EMPTY_JSON, parse_strict),
}
