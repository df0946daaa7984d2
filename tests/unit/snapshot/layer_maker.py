"""Layers as docs/snapshot_format.md describes them, written record by record: the other side of reading them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path

from service.rights.model import Contract
from service.snapshot.entries import encode_contract, encode_entry, encode_tombstone
from service.snapshot.seal import LayerKey, record_key, seal, seal_probe
from service.snapshot.writer import LayerWriter

#: Identity → contracts, or None where there is to be no record.
People = Mapping[str, tuple[Contract, ...] | None]
Item = tuple[bytes, bytes]


def entry(contracts: tuple[Contract, ...] | None) -> bytes:
    """The plaintext of an entry; a tombstone for None."""
    if contracts is None:
        return encode_tombstone()
    return encode_entry(0, sorted(encode_contract(one) for one in contracts))


def base_items(key: LayerKey, people: People) -> list[Item]:
    """Records of a base."""
    return [_sealed(key.derive(identity), entry(contracts), key.salt) for identity, contracts in people.items()]


def delta_items(key: LayerKey, base: LayerKey, people: People) -> list[Item]:
    """Records of a delta over the layer of `base`."""
    return [over(key, base, identity, contracts) for identity, contracts in people.items()]


def over(key: LayerKey, base: LayerKey, identity: str, contracts: tuple[Contract, ...] | None) -> Item:
    """What a delta says of one identity: live under the identity's key, a tombstone under its place's."""
    place = key.place(record_key(base.derive(identity)))
    derived = place if contracts is None else key.derive(identity)
    return record_key(place), seal(derived, entry(contracts), key.salt)


def write_layer(path: Path, key: LayerKey, items: Iterable[Item]) -> Path:
    """A layer file with its probe."""
    with closing(LayerWriter(path, 1 << 22)) as writer:
        writer.append(sorted([seal_probe(key), *items]))
        writer.finish()
    return path


def _sealed(derived: bytes, plaintext: bytes, salt: bytes) -> Item:
    return record_key(derived), seal(derived, plaintext, salt)
