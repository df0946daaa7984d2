from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from service.snapshot.merge import PERSON, State, merge, pack_record, pack_tag

IDENTITIES = [bytes([number]) * 64 for number in range(4)]
CONTRACTS = [b"\x91\xa1" + bytes([65 + number]) for number in range(4)]

records = st.lists(
    st.tuples(st.sampled_from(IDENTITIES), st.sampled_from(CONTRACTS), st.booleans()).map(
        lambda parts: pack_record(parts[0], parts[1], pack_tag(State.OPEN, canary=parts[2]) | PERSON)
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
    assert [entry.derived for entry in merged] == sorted({record[:60] for record in given_records})
    for entry in merged:
        own = [record for record in given_records if record.startswith(entry.derived)]
        assert entry.contracts == sorted({record[60:-1] for record in own})
        assert entry.canary == any(record[-1] & 1 for record in own)
        assert len(entry.states) == len(entry.contracts)


def test_states_stay_with_their_contracts():
    given_records = [
        pack_record(IDENTITIES[0], contract, pack_tag(state, canary=False))
        for contract, state in zip(CONTRACTS, reversed(State), strict=True)
    ]
    (entry,) = merge(given_records)
    assert entry.states == list(reversed(State))
    assert not entry.person
