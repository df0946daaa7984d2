"""What a home's files say of its supply, whatever state they are in."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from service.base64url import sha256_b64u
from service.errors import SnapshotRefused
from service.jws import sign_general
from service.settings import Home, InstanceSettings, Settings
from service.snapshot.catalog import LAST_LOAD, Catalog
from service.snapshot.lookout import Lookout, limits_of, served_of
from service.snapshot.manifest import encode_manifest
from service.snapshot.steps import Step
from service.snapshot.supply import Look, Trouble, TrustState
from service.snapshot.trust import TRUST_TYP, encode_trust
from service.snapshot.verdict import early_verdict
from tests.unit.snapshot.snapshot_maker import NOW, ROOT_1, ROOT_2, SnapshotMaker, conditions, floor, trust_roles

LATER = NOW + dt.timedelta(hours=1)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.node.mkdir(parents=True)
    return home


@pytest.fixture
def lookout(home: Home) -> Lookout:
    return Lookout(home, Settings())


def write_sync(home: Home, **changes: object) -> None:
    known = {"checked_at": "2024-02-05T10:30:00Z", "changed_at": None, "source": "s3://snapshots", "error": None}
    (home.node / "sync.json").write_text(json.dumps({**known, **changes}))


def write_trust(home: Home, expires_at: dt.datetime) -> None:
    home.trust.write_bytes(sign_general(encode_trust(1, expires_at, trust_roles()), TRUST_TYP, [ROOT_1, ROOT_2]))


def test_an_empty_home_knows_of_no_look_and_no_trust(lookout: Lookout):
    assert lookout.looks() == ()
    assert lookout.trust() == TrustState(None)
    assert lookout.served(1, "digest") is None


def test_a_load_and_a_sync_are_two_looks(home: Home, lookout: Lookout, tmp_path: Path):
    Catalog.of(home).take(SnapshotMaker(tmp_path).make(), conditions())
    write_sync(home, changed_at="2024-02-05T10:00:00Z")
    assert lookout.looks() == (Look(NOW, NOW, None), Look(LATER, NOW + dt.timedelta(minutes=30), None))


def test_what_went_wrong_is_told_with_its_step_until_the_next_success(home: Home, lookout: Lookout, tmp_path: Path):
    maker, catalog = SnapshotMaker(tmp_path), Catalog.of(home)
    catalog.take(maker.make(), conditions())
    with pytest.raises(SnapshotRefused):
        catalog.take(maker.make("older", sequence=3), conditions(floor=floor(), now=LATER))
    text = "expected sequence 4 or above; found 3: a rollback"
    assert lookout.looks() == (Look(LATER, NOW, Trouble(LATER, Step.SEQUENCE, text)),)
    catalog.take(maker.make("newer", sequence=6), conditions(now=LATER))
    assert lookout.looks() == (Look(LATER, LATER, None),)


def test_an_error_of_the_sync_is_one_too(home: Home, lookout: Lookout):
    write_sync(home, error={"at": "2024-02-05T10:30:00Z", "step": "depot_unavailable", "text": "it does not answer"})
    assert lookout.looks() == (Look(LATER, None, Trouble(LATER, "depot_unavailable", "it does not answer")),)


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff", b"[]", b'{"accepted": true}', b'{"accepted": true, "at": "2024-02-05T09:30:00"}', b"null"],
    ids=["cut", "no text", "a list", "no time", "a time of nowhere", "null"],
)
def test_a_damaged_note_is_not_known_and_no_error(home: Home, lookout: Lookout, content: bytes):
    home.snapshots.mkdir()
    (home.snapshots / LAST_LOAD).write_bytes(content)
    (home.node / "sync.json").write_bytes(content.replace(b"accepted", b"source").replace(b"at", b"checked_at"))
    home.trust.write_bytes(content)
    assert lookout.looks() == ()
    assert lookout.trust() == TrustState(None)


def test_the_trust_file_tells_its_end_also_after_it_and_anew_when_it_is_replaced(home: Home, lookout: Lookout):
    for days in (300, -1):
        write_trust(home, NOW + dt.timedelta(days=days))
        assert lookout.trust() == TrustState(NOW + dt.timedelta(days=days))
    home.trust.unlink()
    assert lookout.trust() == TrustState(None)


def test_a_note_is_read_again_only_when_it_was_replaced(home: Home, lookout: Lookout, monkeypatch: pytest.MonkeyPatch):
    write_sync(home)
    assert len(lookout.looks()) == 1
    read: Callable[[Path], bytes] = Path.read_bytes

    def refuse(path: Path) -> bytes:
        raise AssertionError(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert len(lookout.looks()) == 1
    monkeypatch.setattr(Path, "read_bytes", read)
    write_sync(home, checked_at="2024-02-05T10:31:00Z")
    assert lookout.looks()[0].at == LATER + dt.timedelta(minutes=1)


def test_what_serves_is_told_by_the_digest_of_the_order(home: Home, lookout: Lookout, tmp_path: Path):
    examination = Catalog.of(home).take(SnapshotMaker(tmp_path).make(), conditions())
    assert examination.manifest is not None
    assert examination.digest == sha256_b64u(encode_manifest(examination.manifest))
    assert lookout.served(5, examination.digest) == served_of(examination.manifest)
    assert lookout.served(5, sha256_b64u(b"another")) is None
    (home.snapshots / "5" / "manifest.json").chmod(0o644)
    (home.snapshots / "5" / "manifest.json").write_bytes(b"{}")
    assert lookout.served(5, examination.digest) is None


def test_a_load_that_failed_before_its_snapshot_was_looked_at_is_a_look(home: Home, lookout: Lookout):
    Catalog.of(home).record(early_verdict(NOW, SnapshotRefused(Step.SEQUENCE, "one floor", "two")), None)
    assert lookout.looks() == (Look(NOW, None, Trouble(NOW, Step.SEQUENCE, "expected one floor; found two")),)


def test_the_limits_are_those_of_the_settings():
    limits = limits_of(Settings(instance=InstanceSettings(demo=True)))
    assert (limits.expiry, limits.stale, limits.trust) == (
        dt.timedelta(hours=48),
        dt.timedelta(hours=36),
        dt.timedelta(days=30),
    )
