from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from service.base64url import sha256_b64u
from service.errors import SnapshotRefused
from service.jws import unverified_payload
from service.rights.model import Absence, Amc, SourceKind
from service.snapshot.opened import Snapshot, open_snapshot
from service.snapshot.verify import Ordered
from tests.unit.snapshot.snapshot_maker import (
    AMC,
    IDENTITY,
    NOW,
    POLICY,
    SnapshotMaker,
    amc_entry,
    conditions,
    contract,
)


def opened(directory: Path, now: dt.datetime = NOW) -> Snapshot:
    digest = sha256_b64u(unverified_payload((directory / "manifest.json").read_bytes()))
    known = conditions()
    return open_snapshot(directory, Ordered(5, digest), trust=known.trust, peppers=known.peppers, now=now)


def test_an_open_snapshot_finds_who_is_in_it(tmp_path: Path):
    snapshot = opened(SnapshotMaker(tmp_path).make())
    assert snapshot.sequence == 5
    assert snapshot.find(IDENTITY) == (contract(),)
    assert snapshot.find("nir|2850575116001|1985-05-12|1") is Absence.NO_RECORD
    snapshot.close()


def test_what_it_knows_carries_the_extract_date_of_paris(tmp_path: Path):
    late = dt.datetime(2024, 2, 4, 23, 30, tzinfo=dt.UTC)
    snapshot = opened(SnapshotMaker(tmp_path).make(amcs=(amc_entry(extracted_at=late),)))
    known = snapshot.knowledge(("99999997",))
    assert (known.kind, known.snapshot) == (SourceKind.SNAPSHOT, 5)
    assert known.amcs == {AMC: Amc(AMC, "Mutuelle de démonstration", late, dt.date(2024, 2, 5), POLICY)}
    assert known.out_of_scope == {"0099999997"}
    assert (known.signed_at, known.valid_until) == (snapshot.manifest.created_at, snapshot.manifest.valid_until)
    snapshot.close()


def test_an_expired_snapshot_opens_and_says_when_it_ended(tmp_path: Path):
    snapshot = opened(SnapshotMaker(tmp_path).make(), now=NOW + dt.timedelta(days=30))
    assert snapshot.knowledge().valid_until < NOW + dt.timedelta(days=30)
    snapshot.close()


def test_another_digest_than_ordered_does_not_open(tmp_path: Path):
    known = conditions()
    with pytest.raises(SnapshotRefused):
        open_snapshot(
            SnapshotMaker(tmp_path).make(),
            Ordered(5, sha256_b64u(b"other")),
            trust=known.trust,
            peppers=known.peppers,
            now=NOW,
        )
