from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from service.errors import BuildError
from service.snapshot.chunks import Chunk
from service.snapshot.dialects import Dialect
from service.snapshot.entries import epoch_days
from service.snapshot.intake import KEPT_DAYS, Intake, Taken
from service.snapshot.merge import amc_of, identity_of, merge, person_of
from service.snapshot.seal import LayerKey
from tests.unit.snapshot.made_rows import ndjson, row

KEY = LayerKey(b"p" * 32, bytes(16))
DAY = dt.date(2024, 1, 28)
AMC = "0775671993"
NIR_IDENTITY, MEMBER_IDENTITY = "nir|1850575116001|1985-05-12|1", f"amc|{AMC}|M0012345|1985-05-12|1"


def take(
    *rows: dict[str, Any], canary: bool = False, member_entries: bool = True, named: bool = True
) -> tuple[Taken, list[bytes]]:
    intake = Intake(KEY, {AMC: epoch_days(DAY)}, member_entries=member_entries, named=named)
    return intake.take(Chunk("rows", 7, ndjson(rows), Dialect()), canary=canary)


def test_a_row_is_two_records_each_under_its_identity():
    taken, records = take(row())
    assert taken == Taken("rows", rows=1, dropped=0, rejects=[])
    assert {record[:60] for record in records} == {KEY.derive(name)[:60] for name in (NIR_IDENTITY, MEMBER_IDENTITY)}
    assert {identity_of(record) for record in records} == {NIR_IDENTITY, MEMBER_IDENTITY}
    kinds = [kinds[0] for _, _, _, kinds in merge(records)]
    assert sorted(map(person_of, kinds)) == [False, True]
    assert {amc_of(kind) for kind in kinds} == {AMC.encode()}


def test_a_record_names_nobody_where_nobody_needs_it():
    assert {identity_of(record) for record in take(row(), named=False)[1]} == {""}


def test_without_member_entries_a_row_is_one_record():
    (record,) = take(row(), member_entries=False)[1]
    assert identity_of(record) == NIR_IDENTITY


def test_bad_rows_are_told_by_line_and_dropped_ones_counted():
    ended = (DAY - dt.timedelta(days=KEPT_DAYS + 1)).isoformat()
    just = (DAY - dt.timedelta(days=KEPT_DAYS)).isoformat()
    rows = [row(nir="x"), row(valid_to=ended), row(closed_on=ended), row(nir="2555555123030"), row(valid_to=just)]
    taken, records = take(*rows)
    assert taken == Taken("rows", rows=5, dropped=3, rejects=[(7, "nir", "malformed")])
    assert len(records) == 2


def test_a_canary_is_marked_and_a_bad_one_stops_the_build():
    assert [canary for _, canary, _, _ in merge(take(row(), canary=True)[1])] == [True, True]
    with pytest.raises(BuildError, match="canaries, line 8: birth_date: missing"):
        take(row(), row(birth_date=None), canary=True)


def test_an_amc_without_policy_stops_the_build():
    with pytest.raises(BuildError, match="rows, line 8: AMC 0012345678 is not in the policy file"):
        take(row(), row(amc="12345678"))
