from __future__ import annotations

from typing import Any

import msgspec

from service.snapshot.entries import encode_contract
from service.snapshot.merge import Merged
from service.snapshot.policy import parse_policy
from service.snapshot.rows import RowParser
from service.snapshot.tally import Tally
from tests.unit.snapshot.made_rows import POLICY, json_line, row


def contract(**changes: Any):
    return RowParser().parse_json(json_line(row(**changes))).contract


def test_people_count_once_for_each_amc_and_member_entries_not_at_all():
    tally = Tally(parse_policy(POLICY))
    here, there = encode_contract(contract()), encode_contract(contract(amc="0012345678"))
    more = encode_contract(contract(payer_rank=2))
    two = Merged(b"1", person=True, canary=False, contracts=[here, more, there], states=[0, 1, 2])
    tally.add(two)
    tally.add(Merged(b"2", person=True, canary=False, contracts=[here], states=[3]))
    tally.add(msgspec.structs.replace(two, person=False))
    first, second = tally.amc_entries(parse_policy(POLICY))
    assert (tally.entries, tally.people, tally.contracts) == (3, 2, 4)
    assert (first.people, first.contracts, first.open, first.closed, first.suspended) == (1, 1, 0, 0, 1)
    assert (second.people, second.contracts, second.open, second.closed, second.suspended) == (2, 3, 1, 1, 0)
