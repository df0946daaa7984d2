"""Where sealed records lie and how one is found: the port and its LMDB implementation."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Protocol

import lmdb

from service.errors import LayerRejected, RecordUnreadable
from service.rights.model import Absence, Contract
from service.snapshot.entries import Entry, decode_entry
from service.snapshot.seal import PROBE_IDENTITY, LayerKey, open_sealed, opens_probe, record_key

RECORDS_FILE: Final = "records.lmdb"
#: LMDB 0.9's data format. Version 1.0 writes another one, which readers of this format refuse.
LMDB_LIBRARY: Final = 0


class RecordStore(Protocol):
    """Records by canonical identity.

    When the thing behind it fails, the answer is `Absence.UNREADABLE`: the caller says "unknown" and alarms. It is
    never `NO_RECORD`, and never an exception on the request path.
    """

    def lookup(self, identity: str) -> Entry | Absence:
        """The entry, tombstones included; `NO_RECORD` or `UNREADABLE` where there is none to give."""
        ...

    def find(self, identity: str) -> tuple[Contract, ...] | Absence:
        """The contracts of an identity; a tombstone is `NO_RECORD`."""
        ...

    def close(self) -> None:
        """Let go of the store; no lookup may follow."""
        ...


class Layer:
    """One immutable LMDB file, read by one process and one thread.

    Open it after the fork. Size and SHA-256 must have been verified before: the engine has no checksums, and a file
    shorter than its pages kills the process on access (SIGBUS). Never opened with a writable map.
    """

    __slots__ = ("_environment", "_get", "_key", "_salt", "_transaction")

    def __init__(self, path: Path, key: LayerKey) -> None:
        """Opens a layer and its probe. Raises `LayerRejected`: no layer, cut short, or sealed with another pepper."""
        self._key = key
        self._salt = key.salt
        self._environment = _open(path)
        try:
            _check_length(self._environment, path)
            # One read transaction for life: the file never changes, so there is nothing to be kept up with.
            self._transaction = self._environment.begin()
            self._get = self._transaction.get
            self._check_probe()
        except BaseException:
            self._environment.close()
            raise

    def lookup(self, identity: str) -> Entry | Absence:
        """The entry, tombstones included; a record that does not open or decode is `UNREADABLE`."""
        derived = self._key.derive(identity)
        try:
            sealed = self._get(record_key(derived))
            if sealed is None:
                return Absence.NO_RECORD
            return decode_entry(open_sealed(derived, sealed, self._salt))
        except (RecordUnreadable, lmdb.Error):
            return Absence.UNREADABLE

    def find(self, identity: str) -> tuple[Contract, ...] | Absence:
        """The contracts of an identity; a tombstone is `NO_RECORD`."""
        found = self.lookup(identity)
        if isinstance(found, Absence):
            return found
        return Absence.NO_RECORD if found.deleted else found.contracts

    @property
    def entries(self) -> int:
        """How many records lie in the file, the probe not counted."""
        return self._environment.stat()["entries"] - 1

    def close(self) -> None:
        """Unmap the file."""
        self._transaction.abort()
        self._environment.close()

    def _check_probe(self) -> None:
        try:
            sealed = self._get(record_key(self._key.derive(PROBE_IDENTITY)))
        except lmdb.Error as error:
            raise LayerRejected("the layer is damaged") from error
        if sealed is None or not opens_probe(self._key, sealed):
            raise LayerRejected("the probe does not open: another pepper, another salt, or a damaged layer")


def _open(path: Path) -> lmdb.Environment:
    try:
        return lmdb.open(
            str(path),
            subdir=False,
            readonly=True,
            lock=False,  # one writer once, readers for ever: nothing to lock
            readahead=False,  # at random, neighbours are not needed: 2 ms instead of 33 ms at the 99th percentile, cold
            create=False,
            max_dbs=0,
            lib_version=LMDB_LIBRARY,
        )
    except lmdb.Error as error:
        raise LayerRejected("not a layer this version can read") from error


def _check_length(environment: lmdb.Environment, path: Path) -> None:
    """A last look before pages are touched; whoever verifies digests has looked before."""
    needed = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
    if path.stat().st_size < needed:
        raise LayerRejected("the layer is cut short")
