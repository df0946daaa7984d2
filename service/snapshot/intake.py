"""The reading of a build: from raw lines to records under the derived bytes of their identities. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from service.errors import BuildError, RowRejected
from service.identifiers import amc_identity, nir_identity
from service.snapshot.chunks import Chunk, ChunkParser
from service.snapshot.merge import PERSON, pack_record, pack_tag
from service.snapshot.rows import RowParser, SourceRow
from service.snapshot.seal import LayerKey

#: GDPR art. 5.1.c: contracts that ended earlier before the extract answer no question a counter may ask.
KEPT_DAYS: Final = 60


class Taken(msgspec.Struct):
    """What became of a chunk's rows; of each rejected one the line, the column and the fault."""

    source: str
    rows: int
    dropped: int
    rejects: list[tuple[int, str, str]]


class Intake:
    """Turns chunks into records. `extracted` gives the day of each AMC's extract in days since 1970-01-01.

    With `named`, a record holds its identity too, for whoever must derive it under another layer's key later.
    """

    def __init__(self, key: LayerKey, extracted: Mapping[str, int], *, member_entries: bool, named: bool) -> None:
        self._derive = key.derive
        self._extracted = extracted
        self._member_entries = member_entries
        self._named = named
        self._parse = ChunkParser(RowParser()).parse

    def take(self, chunk: Chunk, *, canary: bool) -> tuple[Taken, list[bytes]]:
        """The records of a chunk. Raises `BuildError` for what stops a build, with file and line."""
        records: list[bytes] = []
        rejects: list[tuple[int, str, str]] = []
        rows = dropped = 0
        for line, row in self._parse(chunk):
            rows += 1
            if isinstance(row, RowRejected):
                if canary:
                    raise BuildError(f"canaries, line {line}: {row.detail}")
                rejects.append((line, row.column, row.fault))
                continue
            extracted = self._extracted.get(row.amc)
            if extracted is None:
                raise BuildError(f"{chunk.source}, line {line}: AMC {row.amc} is not in the policy file")
            if row.fictitious or row.ended_before(extracted - KEPT_DAYS):
                dropped += 1
                continue
            self._pack(row, pack_tag(row.state_at(extracted), canary=canary), records)
        return Taken(chunk.source, rows, dropped, rejects), records

    def _pack(self, row: SourceRow, tag: int, records: list[bytes]) -> None:
        identity = nir_identity(row.nir, row.birth_date, row.birth_rank)
        records.append(pack_record(self._derive(identity), tag | PERSON, row.encoded, self._name(identity)))
        if self._member_entries:
            identity = amc_identity(row.amc, row.member, row.birth_date, row.birth_rank)
            records.append(pack_record(self._derive(identity), tag, row.encoded, self._name(identity)))

    def _name(self, identity: str) -> bytes:
        return identity.encode("ascii") if self._named else b""
