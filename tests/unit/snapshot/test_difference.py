from __future__ import annotations

from service.snapshot.difference import Changes, Difference
from service.snapshot.entries import encode_contract, encode_entry, encode_tombstone
from service.snapshot.merge import PERSON, State, pack_record, pack_tag
from service.snapshot.seal import LayerKey, open_sealed, record_key, seal, seal_probe
from service.snapshot.sealing import Item, seal_records
from service.snapshot.tally import Tally
from tests.unit.snapshot.snapshot_maker import contract

BASE, DELTA = LayerKey(b"b" * 32, b"\x01" * 16), LayerKey(b"d" * 32, b"\x02" * 16)
HELD, OTHER = "nir|1850575116001|1985-05-12|1", "nir|2750863119042|1975-08-30|1"


def record(identity: str, csr: str = "", *, canary: bool = False) -> bytes:
    tag = pack_tag(State.OPEN, canary=canary) | PERSON
    return pack_record(BASE.derive(identity), tag, encode_contract(contract(csr=csr)), identity.encode())


def base_of(*records: bytes) -> list[Item]:
    return sorted([*seal_records(list(records), BASE.salt, Tally()), seal_probe(BASE)])


def compared(base: list[Item], *records: bytes) -> tuple[dict[bytes, bytes], Changes, Tally]:
    tally, changes = Tally(), Changes()
    found = list(Difference(BASE, DELTA).compare(list(records), base, tally, changes))
    assert len(dict(found)) == len(found) == changes.changed + changes.gone
    return dict(found), changes, tally


def place(identity: str) -> bytes:
    return DELTA.place(record_key(BASE.derive(identity)))


def test_what_is_the_same_is_not_written_but_counted():
    found, changes, tally = compared(base_of(record(HELD)), record(HELD), record(HELD))
    assert (found, changes) == ({}, Changes())
    assert (tally.entries, tally.people, tally.contracts) == (1, 1, 1)


def test_what_changed_or_is_new_lies_at_its_place_under_its_own_key():
    found, changes, _ = compared(base_of(record(HELD)), record(HELD, "NEW"), record(OTHER))
    assert changes == Changes(changed=2, gone=0)
    for identity, csr in ((HELD, "NEW"), (OTHER, "")):
        plaintext = encode_entry(0, [encode_contract(contract(csr=csr))])
        sealed = found[record_key(place(identity))]
        assert open_sealed(DELTA.derive(identity), sealed, DELTA.salt) == plaintext


def test_what_is_gone_is_a_tombstone_under_the_key_of_its_place():
    found, changes, tally = compared(base_of(record(HELD), record(OTHER)), record(OTHER))
    assert (changes, tally.entries) == (Changes(changed=0, gone=1), 1)
    assert open_sealed(place(HELD), found[record_key(place(HELD))], DELTA.salt) == encode_tombstone()


def test_the_probe_of_the_base_is_nobody_who_left():
    assert compared(base_of()) == ({}, Changes(), Tally())


def test_one_more_canary_is_a_change():
    assert compared(base_of(record(HELD)), record(HELD, canary=True))[1] == Changes(changed=1, gone=0)


def test_a_record_of_the_base_that_does_not_open_is_replaced():
    """Whoever asks for it would be told "unreadable"; the delta knows better."""
    derived = BASE.derive(HELD)
    size = len(encode_entry(0, [encode_contract(contract())]))
    base = [(record_key(derived), seal(DELTA.derive(HELD), bytes(size), BASE.salt))]
    assert compared(base, record(HELD))[1] == Changes(changed=1, gone=0)
