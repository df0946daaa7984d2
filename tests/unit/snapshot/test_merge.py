from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from service.snapshot.merge import (
    PERSON,
    State,
    amc_of,
    contract_of,
    identity_of,
    kind_of,
    merge,
    pack_record,
    pack_tag,
    person_of,
    state_of,
)

IDENTITIES = [bytes([number]) * 64 for number in range(4)]
CONTRACTS = [b"\x91\xa1" + bytes([65 + number]) for number in range(4)]

records = st.lists(
    st.tuples(st.sampled_from(IDENTITIES), st.sampled_from(CONTRACTS), st.booleans()).map(
        lambda parts: pack_record(parts[0], pack_tag(State.OPEN, canary=parts[2]) | PERSON, parts[1], b"identity")
    ),
    max_size=30,
)


@given(records, st.randoms(use_true_random=False))
def test_the_order_of_records_makes_no_difference(given_records: list[bytes], chance: random.Random):
    shuffled = given_records[:]
    chance.shuffle(shuffled)
    assert list(merge(shuffled)) == list(merge(given_records[:]))


@given(records)
def test_each_identity_comes_once_in_order_with_all_its_distinct_contracts(given_records: list[bytes]):
    merged = list(merge(given_records[:]))
    assert [record[:60] for record, *_ in merged] == sorted({record[:60] for record in given_records})
    for first, canary, contracts, group in merged:
        own = sorted(record for record in given_records if record.startswith(first[:60]))
        assert contracts == sorted({contract_of(record) for record in own})
        assert canary == any(record[60] & 1 for record in own)
        assert list(group) == (own if len(own) > 1 else [])
        assert identity_of(first) == "identity"
        assert all(contract_of(record) in CONTRACTS for record in own)


def test_kinds_tell_state_amc_and_person_of_each_contract():
    contracts = [b"\x9e\xaa%010d rest" % number for number in range(len(State))]
    given_records = [
        pack_record(IDENTITIES[0], pack_tag(state, canary=False) | person, contract)
        for contract, state in zip(contracts, reversed(State), strict=True)
        for person in (0, PERSON)
    ]
    for person in (0, PERSON):
        ((_, canary, found, group),) = merge([record for record in given_records if record[60] & PERSON == person])
        assert (found, canary) == (contracts, False)
        kinds = [kind_of(record) for record in sorted(group, key=contract_of)]
        assert [state_of(kind) for kind in kinds] == list(reversed(State))
        assert [amc_of(kind) for kind in kinds] == [b"%010d" % number for number in range(len(State))]
        assert {person_of(kind) for kind in kinds} == {bool(person)}
