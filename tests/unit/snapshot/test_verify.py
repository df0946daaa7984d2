"""Every attack is refused at its own step, with its own words, and nothing of the folder is taken over."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from service.base64url import sha256_b64u
from service.errors import SnapshotRefused
from service.jws import sign_general, unverified_payload
from service.snapshot import folder as folder_module
from service.snapshot.manifest import MANIFEST_TYP, BaseRef, Counts, FileEntry
from service.snapshot.steps import Step
from service.snapshot.verify import Examination, Ordered
from tests.unit.snapshot.snapshot_maker import (
    ALICE,
    ALICE_NEW,
    BOB,
    CAROL,
    IDENTITY,
    NOW,
    PEPPER_KID,
    STRANGER,
    SnapshotMaker,
    amc_entry,
    conditions,
    floor,
    floor_left_by,
    trust,
)


@pytest.fixture
def maker(tmp_path: Path) -> SnapshotMaker:
    return SnapshotMaker(tmp_path)


def refusal(directory: Path, **changes: Any) -> SnapshotRefused:
    examination = Examination(conditions(**changes))
    with pytest.raises(SnapshotRefused) as caught:
        examination.run(directory)
    return caught.value


def test_a_snapshot_signed_by_two_people_is_verified(maker: SnapshotMaker):
    examination = Examination(conditions())
    manifest = examination.run(maker.make())
    assert manifest.sequence == 5
    assert examination.signers == {"alice", "bob"}
    assert examination.first_load
    assert not examination.unchanged


# 0 and 1: what can be read at all, and how much of it


def test_a_missing_folder_is_refused(tmp_path: Path):
    assert refusal(tmp_path / "nowhere").step == Step.FOLDER


def test_an_endless_manifest_is_not_read(maker: SnapshotMaker):
    directory = maker.make()
    with (directory / "manifest.json").open("ab") as file:
        file.truncate(1024**3)
    assert refusal(directory).step == Step.SIZE


def test_an_endless_data_file_is_refused_before_anything_is_parsed(
    maker: SnapshotMaker, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("service.snapshot.contents.MAX_FILE_BYTES", 1000)
    assert refusal(maker.make()).step == Step.SIZE


def test_a_crowded_folder_is_refused(maker: SnapshotMaker):
    directory = maker.make()
    for number in range(folder_module.MAX_FOLDER_ENTRIES):
        (directory / str(number)).touch()
    assert refusal(directory).step == Step.SIZE


# 2: who signed


@pytest.mark.parametrize(
    ("signers", "found"),
    [
        ([], "no signature"),
        ([ALICE], "1 of them (alice)"),
        ([ALICE, ALICE_NEW], "1 of them (alice), one person signed with several keys and counts once"),
        ([ALICE, STRANGER], "1 of them (alice), 1 by keys the trust file does not know"),
        ([STRANGER], "none of them, 1 by keys the trust file does not know"),
    ],
    ids=["unsigned", "one signature", "two by one person", "one and a stranger", "unknown key"],
)
def test_too_few_people_are_refused_and_named(maker: SnapshotMaker, signers: list[Any], found: str):
    maker.signers = signers
    error = refusal(maker.make())
    assert (error.step, error.expected, error.found) == (Step.SIGNATURES, "2 of alice, bob, carol", found)


def test_any_two_people_are_enough_and_a_stranger_does_no_harm(maker: SnapshotMaker):
    maker.signers = [STRANGER, CAROL, ALICE_NEW]
    examination = Examination(conditions())
    examination.run(maker.make())
    assert examination.signers == {"alice", "carol"}


def test_an_object_signed_for_another_purpose_is_refused(maker: SnapshotMaker):
    maker.typ = "relais-order+jws"
    error = refusal(maker.make())
    assert error.step == Step.SIGNATURES
    assert "not a relais-snapshot+jws" in error.found


def test_one_bad_signature_beside_two_good_ones_is_refused(maker: SnapshotMaker):
    directory = maker.make()
    document = msgspec.json.decode((directory / "manifest.json").read_bytes())
    other = msgspec.json.decode(sign_general(b"{}", MANIFEST_TYP, [CAROL]))
    document["signatures"].append(other["signatures"][0])
    (directory / "manifest.json").write_bytes(msgspec.json.encode(document))
    error = refusal(directory)
    assert error.step == Step.SIGNATURES
    assert "does not match" in error.found


def test_an_expired_trust_file_vouches_for_nothing(maker: SnapshotMaker):
    error = refusal(maker.make(), trust=trust(expires_at=NOW))
    assert error.step == Step.SIGNATURES
    assert "expired" in error.found


def test_a_flipped_bit_anywhere_in_the_manifest_is_refused(maker: SnapshotMaker):
    directory = maker.make()
    path = directory / "manifest.json"
    good = path.read_bytes()
    for position in range(0, len(good), 7):
        bad = bytearray(good)
        bad[position] ^= 1
        path.write_bytes(bad)
        assert refusal(directory).step == Step.SIGNATURES, position


def test_nothing_is_parsed_before_the_signatures_hold(maker: SnapshotMaker, monkeypatch: pytest.MonkeyPatch):
    maker.signers = [ALICE]
    monkeypatch.setattr("service.snapshot.verify.parse_manifest", lambda _: pytest.fail("parsed"))
    assert refusal(maker.make()).step == Step.SIGNATURES


# 3: format


def test_a_signed_payload_of_another_format_is_refused(maker: SnapshotMaker):
    directory = maker.make()
    (directory / "manifest.json").write_bytes(sign_general(b'{"format":"other/1"}', MANIFEST_TYP, [ALICE, BOB]))
    assert refusal(directory).step == Step.FORMAT


# 4: dates


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"created_at": NOW + dt.timedelta(minutes=6)}, "created_at not after"),
        ({"amcs": (amc_entry(extracted_at=NOW),)}, "extracted not after created_at"),
        ({"valid_until": NOW - dt.timedelta(hours=1)}, "valid_until after created_at"),
        ({"valid_until": NOW + dt.timedelta(days=46)}, "within 45 days"),
    ],
    ids=["from the future", "extracted after it was built", "no validity", "valid too long"],
)
def test_dates_that_cannot_be_are_refused(maker: SnapshotMaker, changes: dict[str, Any], words: str):
    error = refusal(maker.make(**changes))
    assert error.step == Step.DATES
    assert words in error.expected


def test_an_expired_manifest_is_refused(maker: SnapshotMaker):
    error = refusal(maker.make(), now=NOW + dt.timedelta(days=7))
    assert error.step == Step.DATES
    assert error.found == "2024-02-12T09:30:00Z: expired, unless this clock is ahead"


@pytest.mark.parametrize(
    ("valid_days", "off", "found"),
    [
        (7, -1, "2024-02-05T08:30:00Z: made in the future, unless this clock is behind"),
        (7, +1, None),
        (1, +1, "2024-02-06T08:30:00Z: expired, unless this clock is ahead"),
    ],
    ids=["a day behind", "a day ahead, valid for longer", "a day ahead, valid for a day"],
)
def test_a_clock_one_day_off_is_named_where_it_is_the_likely_cause(
    maker: SnapshotMaker, valid_days: int, off: int, found: str | None
):
    made = NOW - dt.timedelta(hours=1)
    source = maker.make(created_at=made, valid_until=made + dt.timedelta(days=valid_days))
    now = NOW + dt.timedelta(days=off)
    if found is None:
        Examination(conditions(now=now)).run(source)
        return
    error = refusal(source, now=now)
    assert (error.step, error.found) == (Step.DATES, found)
    assert f"{now - dt.timedelta(minutes=-5 if off < 0 else 0):%Y-%m-%dT%H:%M:%SZ}" in error.expected
    assert "this machine's clock" in error.expected


def test_a_builder_whose_clock_runs_five_minutes_ahead_passes(maker: SnapshotMaker):
    Examination(conditions()).run(maker.make(created_at=NOW + dt.timedelta(minutes=5)))


# 5: sequence


def test_an_older_sequence_is_a_rollback(maker: SnapshotMaker):
    error = refusal(maker.make(), floor=floor(sequence=6))
    assert error.step == Step.SEQUENCE
    assert error.found == "5: a rollback"


def test_the_same_sequence_with_another_digest_is_equivocation(maker: SnapshotMaker):
    error = refusal(maker.make(), floor=floor(sequence=5))
    assert error.step == Step.SEQUENCE
    assert error.found.endswith("two snapshots under one sequence")


def test_a_fast_forward_is_refused(maker: SnapshotMaker):
    error = refusal(maker.make(sequence=1_005), floor=floor())
    assert error.step == Step.SEQUENCE
    Examination(conditions(floor=floor())).run(maker.make("near", sequence=1_004))


def test_the_active_snapshot_again_is_no_change(maker: SnapshotMaker):
    directory = maker.make()
    examination = Examination(conditions(floor=floor_left_by(maker.manifest(directory / "records.lmdb"))))
    examination.run(directory)
    assert examination.unchanged
    assert not examination.first_load


def test_dates_at_the_end_of_the_calendar_are_refused_and_not_added_to(maker: SnapshotMaker):
    end = dt.datetime(9999, 12, 31, 23, tzinfo=dt.UTC)
    directory = maker.make(created_at=end, valid_until=end + dt.timedelta(minutes=1))
    assert refusal(directory).step == Step.DATES
    # What an order names may lie ahead of a clock that went back: that it is another one must still be found.
    assert refusal(directory, ordered=Ordered(5, sha256_b64u(b"other"))).step == Step.SEQUENCE


# 6: base


def test_a_delta_is_refused_until_its_base_is_held(maker: SnapshotMaker):
    base = BaseRef(4, sha256_b64u(b"base"))
    error = refusal(maker.make(kind="delta", base=base))
    assert error.step == Step.BASE
    assert error.expected == f"base 4, digest {base.sha256}, held here: relais snapshot hold its folder first"
    assert error.found == "no snapshot 4"


# 7: files


def test_a_flipped_bit_anywhere_in_the_data_is_refused(maker: SnapshotMaker):
    directory = maker.make()
    path = directory / "records.lmdb"
    path.chmod(0o644)
    good = path.read_bytes()
    for position in range(0, len(good), 997):
        bad = bytearray(good)
        bad[position] ^= 0x80
        path.write_bytes(bad)
        error = refusal(directory)
        assert (error.step, error.found.endswith("altered")) == (Step.FILES, True), position


@pytest.mark.parametrize("kept", [0, 1, 4096, 0.5, -1])
def test_a_truncated_data_file_is_refused_before_it_is_opened(
    maker: SnapshotMaker, monkeypatch: pytest.MonkeyPatch, kept: float
):
    monkeypatch.setattr("service.snapshot.verify.Layer", lambda *_: pytest.fail("opened"))
    directory = maker.make()
    path = directory / "records.lmdb"
    size = path.stat().st_size
    os.truncate(path, int(size * kept) if kept == 0.5 else int(kept) % size)
    error = refusal(directory)
    assert error.step == Step.FILES
    assert error.found.endswith("cut short")


def test_an_extended_data_file_is_refused(maker: SnapshotMaker):
    directory = maker.make()
    (directory / "records.lmdb").chmod(0o644)
    with (directory / "records.lmdb").open("ab") as file:
        file.write(b"\0")
    assert refusal(directory).found.endswith("too long")


@pytest.mark.parametrize("name", ["extra", ".hidden", "records.lmdb-lock", "\x1b[2Jname"])
def test_an_extra_file_is_refused_and_named_harmlessly(maker: SnapshotMaker, name: str):
    directory = maker.make()
    (directory / name).touch()
    error = refusal(directory)
    assert error.step == Step.FILES
    assert "\x1b" not in error.found


def test_an_extra_folder_is_refused(maker: SnapshotMaker):
    directory = maker.make()
    (directory / "sub").mkdir()
    assert refusal(directory).step == Step.FILES


def test_a_missing_data_file_is_refused(maker: SnapshotMaker):
    directory = maker.make()
    (directory / "records.lmdb").unlink()
    assert refusal(directory).step == Step.FILES


@pytest.mark.parametrize("name", ["records.lmdb", "manifest.json"])
def test_a_symbolic_link_is_refused_whatever_it_leads_to(maker: SnapshotMaker, name: str):
    directory = maker.make()
    (directory / name).rename(maker.root / name)
    (directory / name).symlink_to(maker.root / name)
    error = refusal(directory)
    assert error.step == Step.FILES
    assert "link" in error.found


@pytest.mark.parametrize("name", ["records.lmdb", "manifest.json"])
def test_a_hard_link_is_refused_because_its_other_name_can_change_it(maker: SnapshotMaker, name: str):
    directory = maker.make()
    (maker.root / "other").hardlink_to(directory / name)
    error = refusal(directory)
    assert (error.step, error.found) == (Step.FILES, "a hard link")


def test_a_pipe_is_refused_and_not_waited_for(maker: SnapshotMaker):
    directory = maker.make()
    (directory / "records.lmdb").unlink()
    os.mkfifo(directory / "records.lmdb")
    assert refusal(directory).step == Step.FILES


@pytest.mark.parametrize(
    "name", ["../records.lmdb", "/etc/passwd", "a/b", "..", "manifest.json", "RECORDS.LMDB", "é.x"]
)
def test_a_signed_name_that_leads_elsewhere_is_refused(maker: SnapshotMaker, name: str):
    error = refusal(maker.make(files=(FileEntry(name, 1, sha256_b64u(b"")),)))
    assert error.step == Step.FILES
    assert error.expected == "plain file names"


def test_a_base_of_other_files_is_refused(maker: SnapshotMaker):
    error = refusal(maker.make(files=(FileEntry("other.lmdb", 1, sha256_b64u(b"")),)))
    assert (error.step, error.found) == (Step.FILES, "other.lmdb")


def test_the_files_of_one_snapshot_do_not_pass_under_the_manifest_of_another(maker: SnapshotMaker):
    one = maker.make("one")
    maker.people = {}
    other = maker.make("other")
    (one / "records.lmdb").unlink()
    (other / "records.lmdb").rename(one / "records.lmdb")
    assert refusal(one).step == Step.FILES


@pytest.mark.parametrize("content", [b"", b"not a layer" * 1000], ids=["empty", "rubbish"])
def test_a_correctly_signed_file_that_is_no_layer_never_reaches_the_engine(
    maker: SnapshotMaker, monkeypatch: pytest.MonkeyPatch, content: bytes
):
    monkeypatch.setattr("service.snapshot.verify.Layer", lambda *_: pytest.fail("opened"))
    directory = maker.make()
    path = directory / "records.lmdb"
    path.unlink()
    path.write_bytes(content)
    maker.sign(directory, maker.manifest(path))
    error = refusal(directory)
    assert (error.step, error.expected) == (Step.FILES, "records.lmdb to be a whole layer of 1 records and a probe")


def test_a_layer_of_another_number_of_records_than_was_vouched_for_is_refused(maker: SnapshotMaker):
    error = refusal(maker.make(counts=Counts(entries=2, people=1, contracts=1, rejected=0, dropped=0)))
    assert (error.step, error.found) == (Step.FILES, "1 records")


# 8: pepper


def test_a_pepper_we_do_not_hold_is_refused(maker: SnapshotMaker):
    error = refusal(maker.make(), peppers={"pepper-2023": b"p" * 32})
    assert error.step == Step.PEPPER
    assert error.found == f"{PEPPER_KID}: not held here"


def test_a_wrong_pepper_is_a_refusal_and_not_everybody_unknown(maker: SnapshotMaker):
    error = refusal(maker.make(), peppers={PEPPER_KID: b"q" * 32})
    assert error.step == Step.PEPPER
    assert "probe" in error.found


def test_a_foreign_salt_is_refused(maker: SnapshotMaker):
    assert refusal(maker.make(salt="A" * 22)).step == Step.PEPPER


# 9: guard


def test_a_much_smaller_snapshot_is_refused_with_its_finding(maker: SnapshotMaker):
    directory = maker.make(amcs=(amc_entry(people=5_000, contracts=5_000, open=4_500),))
    examination = Examination(conditions(floor=floor()))
    with pytest.raises(SnapshotRefused) as caught:
        examination.run(directory)
    assert caught.value.step == Step.GUARD
    assert "people may not change" in caught.value.found
    assert len(examination.findings) == 1


def test_a_reason_lets_a_finding_pass_and_keeps_it(maker: SnapshotMaker):
    directory = maker.make(amcs=(amc_entry(people=5_000, contracts=5_000, open=4_500),))
    examination = Examination(conditions(floor=floor(), accept="AMC sold half its contracts"))
    examination.run(directory)
    assert [finding.amc for finding in examination.findings] == ["0775671993"]


# what an order names


def test_a_reason_never_lets_anything_but_findings_pass(maker: SnapshotMaker):
    maker.signers = [ALICE]
    assert refusal(maker.make(), accept="trust me").step == Step.SIGNATURES


def test_an_ordered_snapshot_opens_after_its_end_and_below_the_floor(maker: SnapshotMaker):
    directory = maker.make()
    digest = sha256_b64u(_payload(directory))
    late = conditions(now=NOW + dt.timedelta(days=30), ordered=Ordered(5, digest), floor=floor(sequence=9))
    manifest, layer = Examination(late).open(directory)
    assert manifest.sequence == 5
    assert isinstance(layer.find(IDENTITY), tuple)
    layer.close()


def test_an_ordered_snapshot_is_opened_under_a_clock_that_went_back(maker: SnapshotMaker):
    directory = maker.make()
    ordered = Ordered(5, sha256_b64u(_payload(directory)))
    early = NOW - dt.timedelta(days=2)
    assert Examination(conditions(now=early, ordered=ordered)).run(directory).sequence == 5
    assert refusal(directory, now=early).step == Step.DATES


def test_a_pinned_snapshot_must_not_have_expired(maker: SnapshotMaker):
    directory = maker.make()
    ordered = Ordered(5, sha256_b64u(_payload(directory)), may_be_expired=False)
    assert refusal(directory, now=NOW + dt.timedelta(days=30), ordered=ordered).step == Step.DATES


@pytest.mark.parametrize("sequence", [4, 5, 6])
def test_another_snapshot_than_the_ordered_one_is_refused(maker: SnapshotMaker, sequence: int):
    error = refusal(maker.make(), ordered=Ordered(sequence, sha256_b64u(b"other")))
    assert error.step == Step.SEQUENCE


def _payload(directory: Path) -> bytes:
    return unverified_payload((directory / "manifest.json").read_bytes())
