from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from service.errors import SnapshotRefused
from service.jwk import PrivateKey
from service.jws import verify_general
from service.snapshot.catalog import Catalog
from service.snapshot.manifest import MANIFEST_TYP
from service.snapshot.signing import falling, merge_folder, read_draft, sign_detached, sign_folder
from service.snapshot.steps import Step
from service.snapshot.trust import Role, RoleName, Trust, encode_trust, parse_trust
from service.snapshot.verify import Examination
from tests.unit.snapshot.snapshot_maker import (
    ALICE,
    BOB,
    CAROL,
    NOW,
    STRANGER,
    SnapshotMaker,
    conditions,
    trust,
    trust_roles,
)


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


# Signatures made elsewhere


def detached(folder: Path, signer: PrivateKey) -> bytes:
    return sign_detached(folder, signer)[1]


def test_only_the_signature_comes_back(unsigned: Path):
    before = (unsigned / "manifest.json").read_bytes()
    draft, signature, data_read = sign_detached(unsigned, ALICE)
    assert (draft.document, data_read) == (before, True)
    assert (unsigned / "manifest.json").read_bytes() == before
    assert verify_general(signature, MANIFEST_TYP, {ALICE.kid: ALICE.public})[1] == {ALICE.kid}
    assert len(signature) < len(before) + 400


def test_signatures_made_on_two_machines_make_a_signed_snapshot(unsigned: Path):
    others = {"alice.json": detached(unsigned, ALICE), "bob.json": detached(unsigned, BOB)}
    assert merge_folder(unsigned, others, trust()).signers(trust()) == {"alice", "bob"}
    assert Examination(conditions()).run(unsigned) == read_draft(unsigned).manifest


def test_a_whole_signed_manifest_merges_too(unsigned: Path, tmp_path: Path):
    copy = Path(shutil.copytree(unsigned, tmp_path / "copy"))
    sign_folder(unsigned, ALICE)
    sign_folder(copy, BOB)
    other = (copy / "manifest.json").read_bytes()
    assert merge_folder(unsigned, {"other": other}, None).signers(trust()) == {"alice", "bob"}
    assert merge_folder(unsigned, {"other": other}, trust()).signers(trust()) == {"alice", "bob"}


def test_a_signers_machine_may_hold_the_manifest_alone(unsigned: Path, tmp_path: Path):
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(unsigned / "manifest.json", alone)
    draft, signature, data_read = sign_detached(alone, CAROL)
    assert (draft.digest, data_read) == (read_draft(unsigned).digest, False)
    assert merge_folder(unsigned, {"carol": signature}, trust()).signers(trust()) == {"carol"}


def test_data_that_is_there_is_read_before_it_is_vouched_for(unsigned: Path):
    path = unsigned / "records.lmdb"
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(SnapshotRefused) as caught:
        sign_detached(unsigned, ALICE)
    assert caught.value.step == Step.FILES


def test_a_signature_of_another_snapshot_is_refused_and_named(unsigned: Path, tmp_path: Path):
    maker = SnapshotMaker(tmp_path)
    maker.signers = []
    other = detached(maker.make("other", sequence=6), ALICE)
    before = (unsigned / "manifest.json").read_bytes()
    with pytest.raises(SnapshotRefused) as caught:
        merge_folder(unsigned, {"bob.json": detached(unsigned, BOB), "alice.json": other}, trust())
    assert caught.value.step == Step.SIGNATURES
    assert read_draft(unsigned).digest in caught.value.expected
    assert caught.value.found == "alice.json: made for another payload"
    assert (unsigned / "manifest.json").read_bytes() == before


def test_a_false_signature_by_a_known_key_is_refused_and_nothing_is_written(unsigned: Path):
    false = detached(unsigned, ALICE).replace(b'"signature":"', b'"signature":"AAAA')
    before = (unsigned / "manifest.json").read_bytes()
    with pytest.raises(SnapshotRefused) as caught:
        merge_folder(unsigned, {"alice.json": false}, trust())
    assert "alice.json: the signature by key" in caught.value.found
    assert (unsigned / "manifest.json").read_bytes() == before


def test_merging_does_not_make_a_manifest_no_reader_would_read(unsigned: Path, monkeypatch: pytest.MonkeyPatch):
    signature = detached(unsigned, ALICE)
    monkeypatch.setattr("service.snapshot.signing.MAX_MANIFEST_BYTES", len(signature) - 1)
    with pytest.raises(SnapshotRefused) as caught:
        merge_folder(unsigned, {"alice.json": signature}, trust())
    assert caught.value.step == Step.SIZE


def without(*names: str) -> Trust:
    roles = trust_roles()
    people = tuple(one for one in roles[RoleName.SNAPSHOT].signers if one.name not in names)
    return parse_trust(encode_trust(2, NOW, {**roles, RoleName.SNAPSHOT: Role(2, people)}))


def test_snapshots_that_would_lack_signers_are_found(tmp_path: Path):
    catalog = Catalog(tmp_path / "snapshots")
    maker = SnapshotMaker(tmp_path / "made")
    maker.root.mkdir()
    catalog.root.mkdir()
    for sequence, signers in ((5, [ALICE, BOB]), (6, [ALICE, BOB, CAROL]), (7, [ALICE, CAROL]), (8, [CAROL])):
        maker.signers = signers
        maker.make(str(sequence), sequence=sequence).rename(catalog.path(sequence))
    assert falling(catalog, trust(), without("bob")) == (5,)
    assert falling(catalog, trust(), without("carol")) == (7,)
    # 8 lacked signers before, and a folder without a manifest serves nobody under either version.
    catalog.path(9).mkdir()
    assert falling(catalog, trust(), trust()) == ()
