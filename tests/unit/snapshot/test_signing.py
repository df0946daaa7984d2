from __future__ import annotations

from pathlib import Path

import pytest

from service.errors import SnapshotRefused
from service.snapshot.signing import read_draft, sign_folder
from service.snapshot.steps import Step
from service.snapshot.verify import Examination
from tests.unit.snapshot.snapshot_maker import ALICE, BOB, STRANGER, SnapshotMaker, conditions, trust


@pytest.fixture
def unsigned(tmp_path: Path) -> Path:
    maker = SnapshotMaker(tmp_path)
    maker.signers = []
    return maker.make()


def test_people_sign_one_after_the_other(unsigned: Path):
    assert read_draft(unsigned).signers(trust()) == frozenset()
    assert sign_folder(unsigned, ALICE).signers(trust()) == {"alice"}
    assert sign_folder(unsigned, BOB).signers(trust()) == {"alice", "bob"}
    assert Examination(conditions()).run(unsigned) == read_draft(unsigned).manifest


def test_signing_twice_is_signing_once(unsigned: Path):
    first = sign_folder(unsigned, ALICE)
    assert sign_folder(unsigned, ALICE).document == first.document


def test_a_strangers_signature_does_not_count(unsigned: Path):
    assert sign_folder(unsigned, STRANGER).signers(trust()) == frozenset()


def test_nobody_vouches_for_data_that_differs_from_its_manifest(unsigned: Path):
    before = (unsigned / "manifest.json").read_bytes()
    path = unsigned / "records.lmdb"
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(SnapshotRefused) as caught:
        sign_folder(unsigned, ALICE)
    assert caught.value.step == Step.FILES
    assert (unsigned / "manifest.json").read_bytes() == before


def test_a_broken_signature_is_shown_as_such(unsigned: Path):
    sign_folder(unsigned, ALICE)
    path = unsigned / "manifest.json"
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content.replace(b'"signature":"', b'"signature":"AAAA', 1))
    with pytest.raises(SnapshotRefused):
        read_draft(unsigned).signers(trust())


@pytest.mark.parametrize("content", [b"", b"{}", b'{"payload":"e30","signatures":[]}'])
def test_what_is_no_manifest_is_not_signed(unsigned: Path, content: bytes):
    path = unsigned / "manifest.json"
    path.unlink()
    path.write_bytes(content)
    with pytest.raises(SnapshotRefused):
        sign_folder(unsigned, ALICE)
    assert path.read_bytes() == content
