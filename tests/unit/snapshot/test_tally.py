from __future__ import annotations

from typing import Any

from service.rights.model import Contract
from service.snapshot.entries import encode_contract
from service.snapshot.merge import PERSON, State, merge, pack_record, pack_tag
from service.snapshot.policy import parse_policy
from service.snapshot.rows import RowParser
from service.snapshot.tally import Tally
from tests.unit.snapshot.made_rows import POLICY, json_line, row


def contract(**changes: Any) -> Contract:
    return RowParser().parse_json(json_line(row(**changes))).contract


def records(identity: bytes, person: int, *held: tuple[Contract, State]) -> list[bytes]:
    return [
        pack_record(identity * 60, pack_tag(state, canary=False) | person, encode_contract(one)) for one, state in held
    ]


def test_people_count_once_for_each_amc_and_member_entries_not_at_all():
    here, there, more = contract(), contract(amc="0012345678"), contract(payer_rank=2)
    two = ((here, State.OPEN), (more, State.CLOSED), (there, State.SUSPENDED))
    delivered = [
        *records(b"1", PERSON, *two),
        # Delivered twice, byte for byte: one contract.
        *records(b"2", PERSON, (here, State.NOT_STARTED), (here, State.NOT_STARTED)),
        *records(b"3", 0, *two),
        *records(b"4", 0, (here, State.OPEN)),
    ]
    whole, parts = Tally(), [Tally(), Tally()]
    for tally, some in ((whole, delivered), (parts[0], delivered[:3]), (parts[1], delivered[3:])):
        tally.count(some)
        for _, _, _, group in merge(some):
            if group:
                tally.join(group)
    parts[0].merge(parts[1])
    for tally in (whole, parts[0]):
        first, second = tally.amc_entries(parse_policy(POLICY))
        assert (tally.entries, tally.people, tally.contracts) == (4, 2, 4)
        assert (first.people, first.contracts, first.open, first.closed, first.suspended) == (1, 1, 0, 0, 1)
        assert (second.people, second.contracts, second.open, second.closed, second.suspended) == (2, 3, 1, 1, 0)
