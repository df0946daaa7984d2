"""Where sealed records lie and how one is found: the port, a layer, and a delta over its base."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Protocol

import lmdb

from service.errors import LayerRejected, RecordUnreadable
from service.rights.model import Absence, Contract, Planted
from service.snapshot.entries import Entry, decode_entry
from service.snapshot.mapped import LMDB_LIBRARY, MappedFile, map_file
from service.snapshot.seal import PROBE_IDENTITY, LayerKey, open_sealed, opens_probe, record_key

__all__ = ["LMDB_LIBRARY", "RECORDS_FILE", "Layer", "Layered", "RecordStore"]

RECORDS_FILE: Final = "records.lmdb"


class RecordStore(Protocol):
    """Records by canonical identity.

    When the thing behind it fails, the answer is `Absence.UNREADABLE`: the caller says "unknown" and alarms. It is
    never `NO_RECORD`, and never an exception on the request path.
    """

    def lookup(self, identity: str) -> Entry | Absence:
        """The entry, tombstones included; `NO_RECORD` or `UNREADABLE` where there is none to give."""
        ...

    def find(self, identity: str) -> tuple[Contract, ...] | Absence:
        """The contracts of an identity, `Planted` those of a canary; a tombstone is `NO_RECORD`."""
        ...

    def close(self) -> None:
        """Let go of the store; no lookup may follow."""
        ...


class Layer:
    """One immutable LMDB file, read by one process and one thread.

    Open it after the fork. Size and SHA-256 must have been verified before: the engine has no checksums, and a file
    shorter than its pages kills the process on access (SIGBUS). Never opened with a writable map.
    """

    __slots__ = ("_get", "_mapped", "_salt", "_transaction", "_undo", "key")

    def __init__(self, path: Path, key: LayerKey) -> None:
        """Opens a layer and its probe. Raises `LayerRejected`: no layer, cut short, or sealed with another pepper."""
        self.key = key
        self._salt = key.salt
        with ExitStack() as undo:
            self._mapped = map_file(path)
            undo.callback(self._mapped.release)
            _check_length(self._mapped, path)
            # One read transaction for life: the file never changes, so there is nothing to be kept up with.
            self._transaction = self._mapped.environment.begin()
            undo.callback(self._transaction.abort)
            self._get = self._transaction.get
            self._check_probe()
            self._undo = undo.pop_all()

    def lookup(self, identity: str) -> Entry | Absence:
        """The entry, tombstones included; a record that does not open or decode is `UNREADABLE`."""
        return self.lookup_derived(self.key.derive(identity))

    def find(self, identity: str) -> tuple[Contract, ...] | Absence:
        """The contracts of an identity; a tombstone is `NO_RECORD`."""
        found = self.lookup_derived(self.key.derive(identity))
        return found if isinstance(found, Absence) else _contracts(found)

    def lookup_derived(self, derived: bytes) -> Entry | Absence:
        """`lookup`, by what this layer's key derives from the identity."""
        try:
            sealed = self._get(record_key(derived))
            if sealed is None:
                return Absence.NO_RECORD
            return decode_entry(open_sealed(derived, sealed, self._salt))
        except (RecordUnreadable, lmdb.Error):
            return Absence.UNREADABLE

    def lookup_over(self, identity: str, base_record_key: bytes) -> Entry | Absence:
        """In a delta: what replaces the base's record of an identity; `NO_RECORD`: nothing, the base's holds."""
        place = self.key.place(base_record_key)
        try:
            sealed = self._get(record_key(place))
            if sealed is None:
                return Absence.NO_RECORD
            return self._open_over(self.key.derive(identity), place, sealed)
        except (RecordUnreadable, lmdb.Error):
            return Absence.UNREADABLE

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Record keys and sealed values in ascending order of the keys, the probe included. Raises `LayerRejected`."""
        try:
            yield from self._transaction.cursor()
        except lmdb.Error as error:
            raise LayerRejected("the layer is damaged") from error

    @property
    def entries(self) -> int:
        """How many records lie in the file, the probe not counted."""
        return self._mapped.environment.stat()["entries"] - 1

    def close(self) -> None:
        """Unmap the file, unless another layer of this process reads it too."""
        self._undo.close()

    def _open_over(self, derived: bytes, place: bytes, sealed: bytes) -> Entry:
        """A live entry under the identity's own key, else a tombstone under the place's. Raises `RecordUnreadable`.

        A tombstone was sealed by somebody who did not know the identity, so its key can only come from its place.
        """
        try:
            plaintext = open_sealed(derived, sealed, self._salt)
        except RecordUnreadable:
            entry = decode_entry(open_sealed(place, sealed, self._salt))
            if not entry.deleted:
                raise RecordUnreadable("only a tombstone is sealed under its place") from None
            return entry
        return decode_entry(plaintext)

    def _check_probe(self) -> None:
        try:
            sealed = self._get(record_key(self.key.derive(PROBE_IDENTITY)))
        except lmdb.Error as error:
            raise LayerRejected("the layer is damaged") from error
        if sealed is None or not opens_probe(self.key, sealed):
            raise LayerRejected("the probe does not open: another pepper, another salt, or a damaged layer")


class Layered:
    """A delta over its base: at most two probes, and the delta has the last word.

    What the delta holds but cannot open is `UNREADABLE`: the base's record would be the past.
    """

    __slots__ = ("_base", "_delta")

    def __init__(self, delta: Layer, base: Layer) -> None:
        self._delta = delta
        self._base = base

    def lookup(self, identity: str) -> Entry | Absence:
        """The delta's entry, tombstones included; the base's where the delta says nothing."""
        derived = self._base.key.derive(identity)
        found = self._delta.lookup_over(identity, record_key(derived))
        return self._base.lookup_derived(derived) if found is Absence.NO_RECORD else found

    def find(self, identity: str) -> tuple[Contract, ...] | Absence:
        """The contracts of an identity; a tombstone is `NO_RECORD`."""
        found = self.lookup(identity)
        return found if isinstance(found, Absence) else _contracts(found)

    def close(self) -> None:
        """Let go of both layers."""
        self._delta.close()
        self._base.close()


def _contracts(entry: Entry) -> tuple[Contract, ...] | Absence:
    if entry.deleted:
        return Absence.NO_RECORD
    return Planted(entry.contracts) if entry.canary else entry.contracts


def _check_length(mapped: MappedFile, path: Path) -> None:
    """A last look before pages are touched; whoever verifies digests has looked before."""
    needed = (mapped.environment.info()["last_pgno"] + 1) * mapped.environment.stat()["psize"]
    if path.stat().st_size < needed:
        raise LayerRejected("the layer is cut short")
