"""Who is insured: the rows of a file by both identities. A hundred thousand people take about a tenth of a gigabyte."""

from __future__ import annotations

import gzip
import sys
from array import array
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

import orjson

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

Row = dict[str, Any]
_COLUMNS: Final = frozenset(
    {
        "nir",
        "birth_date",
        "birth_rank",
        "amc",
        "member",
        "csr",
        "convention",
        "payer_rank",
        "valid_from",
        "valid_to",
        "card_valid_to",
        "closed_on",
        "suspended",
        "responsible",
        "domains",
        "rates",
        "rate_base",
    }
)


class Register:
    """The rows of everybody insured; bytes until somebody asks, because as objects they would take ten times the room.

    Raises `ValueError` with the number of the line that is no row.
    """

    def __init__(self, lines: Iterable[bytes]) -> None:
        # One text rather than many: orjson leaves kilobytes of room behind each line that it has written.
        self._text = bytearray()
        self._starts = array("Q", (0,))
        self._places: dict[str, int | tuple[int, ...]] = {}
        for number, line in enumerate(lines, 1):
            try:
                self._add(line, orjson.loads(line))
            except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
                raise ValueError(f"line {number} is not a source row") from None

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self._starts) - 1

    def rows(self, person: Mapping[str, Any]) -> list[Row]:
        """The rows of a beneficiary, named by `nir`, or by `amc` and `member`."""
        places = self._places.get(_key(person), ())
        return [self.line(place) for place in ([places] if isinstance(places, int) else places)]

    def line(self, place: int) -> Row:
        """The row at a place of the file, counted from 0."""
        row: Row = orjson.loads(self._text[self._starts[place] : self._starts[place + 1]])
        return row

    def _add(self, line: bytes, row: Row) -> None:
        if row.keys() != _COLUMNS:
            raise KeyError
        place = len(self)
        self._text += line
        self._starts.append(len(self._text))
        by_card = {name: row[name] for name in ("amc", "member", "birth_date", "birth_rank")}
        for key in (_key({**by_card, "nir": row["nir"][:13]}), _key(by_card)):
            others = self._places.get(key, ())
            self._places[key] = (*([others] if isinstance(others, int) else others), place) if others != () else place


def _key(person: Mapping[str, Any]) -> str:
    born = f"{person['birth_date']}|{person['birth_rank']}"
    return f"{person['nir']}|{born}" if "nir" in person else f"{person['amc']}|{person['member']}|{born}"


@contextmanager
def opened_rows(path: Path) -> Iterator[BinaryIO]:
    """The lines of an NDJSON file, plain or compressed by its name (`.gz`, `.zst`)."""
    if path.suffix == ".gz":
        with gzip.open(path, "rb") as lines:
            yield cast("BinaryIO", lines)
    elif path.suffix == ".zst":
        with zstd.open(path, "rb") as lines:
            yield cast("BinaryIO", lines)
    else:
        with path.open("rb") as lines:
            yield lines
