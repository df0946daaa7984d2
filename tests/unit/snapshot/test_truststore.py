"""What a home makes of the trust files offered to it, and what is left when that is interrupted."""

from __future__ import annotations

import datetime as dt
import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from service.errors import OperatorError, SignatureRejected, TrustRefused
from service.files import write_durable
from service.jwk import PrivateKey
from service.jws import sign_general
from service.snapshot.trust import TRUST_TYP, Trust, encode_trust
from service.snapshot.truststore import TrustStore
from tests.unit.snapshot.snapshot_maker import NOW, ROOT_1, ROOT_2, STRANGER, trust_roles

END = NOW + dt.timedelta(days=365)
LATER = END + dt.timedelta(days=1)


def version(number: int, *keys: PrivateKey, expires_at: dt.datetime = END) -> bytes:
    return sign_general(encode_trust(number, expires_at, trust_roles()), TRUST_TYP, keys or (ROOT_1, ROOT_2))


FIRST, SECOND, THIRD = version(1), version(2), version(3)


def any_change(_current: Trust, _following: Trust) -> None:
    """Nothing serves here that could lack signers."""


@pytest.fixture
def store(tmp_path: Path) -> TrustStore:
    made = TrustStore(tmp_path / "trust.json", tmp_path / "node" / "trust-floor.json")
    made.install_first(FIRST, NOW)
    return made


def files(store: TrustStore) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in store.path.parent.rglob("*.json")}


def test_the_next_version_takes_the_place_of_the_former_which_stays_beside_it(store: TrustStore):
    (installed,) = store.install([SECOND], NOW, any_change)
    assert installed == store.load(NOW) == store.current()
    assert installed.version == 2
    assert store.path.read_bytes() == SECOND
    assert store.kept(1).read_bytes() == FIRST


def test_the_same_version_again_changes_nothing(store: TrustStore):
    store.install([SECOND], NOW, any_change)
    before = files(store)
    assert store.install([SECOND], NOW, any_change) == ()
    assert files(store) == before


def test_versions_are_installed_one_after_the_other_and_lead_to_the_first(store: TrustStore):
    store.install([SECOND], NOW, any_change)
    store.install([THIRD], NOW, any_change)
    assert [trust.version for trust in store.former()] == [2, 1]


def test_a_node_that_slept_takes_the_versions_it_missed_at_once(store: TrustStore):
    expired = version(2, expires_at=NOW)
    with pytest.raises(TrustRefused, match="expired"):
        store.install([expired], NOW, any_change)
    assert [trust.version for trust in store.install([expired, THIRD], NOW, any_change)] == [2, 3]
    assert store.load(NOW).version == 3
    assert store.kept(2).read_bytes() == expired
    assert [trust.version for trust in store.former()] == [2, 1]


def test_of_several_the_last_must_not_have_expired(store: TrustStore):
    with pytest.raises(TrustRefused, match="expired"):
        store.install([SECOND, version(3, expires_at=NOW)], NOW, any_change)
    assert store.path.read_bytes() == FIRST


def test_what_the_judge_refuses_is_not_installed(store: TrustStore):
    before = files(store)

    def refuse(current: Trust, following: Trust) -> None:
        raise OperatorError(f"{current.version} to {following.version}")

    with pytest.raises(OperatorError, match="1 to 2"):
        store.install([SECOND], NOW, refuse)
    assert files(store) == before


def test_a_first_file_is_not_put_over_another(store: TrustStore):
    with pytest.raises(OperatorError, match="succeeded by its next version"):
        store.install_first(FIRST, NOW)


def test_a_first_file_must_hold_by_itself(tmp_path: Path):
    fresh = TrustStore(tmp_path / "trust.json", tmp_path / "floor.json")
    for document, error in ((version(1, ROOT_1), SignatureRejected), (version(1, expires_at=NOW), TrustRefused)):
        with pytest.raises(error):
            fresh.install_first(document, NOW)
    assert not fresh.path.exists()


def test_a_removed_file_does_not_open_the_way_to_an_older_one(store: TrustStore):
    store.install([SECOND], NOW, any_change)
    store.path.unlink()
    with pytest.raises(TrustRefused, match="a rollback"):
        store.install_first(FIRST, NOW)
    assert store.install_first(SECOND, NOW).version == 2


@pytest.mark.parametrize("older", [FIRST, version(2, expires_at=LATER)], ids=["rolled back", "another of the version"])
def test_a_file_put_back_by_hand_is_refused(store: TrustStore, older: bytes):
    store.install([SECOND], NOW, any_change)
    store.path.write_bytes(older)
    for load in (lambda: store.load(NOW), store.current, lambda: store.install([THIRD], NOW, any_change)):
        with pytest.raises(TrustRefused, match="expected trust version 2"):
            load()
    assert store.path.read_bytes() == older


def test_a_kept_version_that_does_not_lead_here_is_named(store: TrustStore):
    store.install([SECOND], NOW, any_change)
    store.kept(1).chmod(0o644)
    store.kept(1).write_bytes(version(1, ROOT_1))
    with pytest.raises(SignatureRejected, match="its own root signers"):
        store.former()
    store.kept(1).write_bytes(THIRD)
    with pytest.raises(TrustRefused, match="expected trust version 4, found 2"):
        store.former()
    assert store.load(NOW).version == 2


def test_evidence_is_not_overwritten(store: TrustStore):
    store.kept(1).write_bytes(version(1, expires_at=LATER))
    with pytest.raises(OperatorError, match=r"trust\.1\.json is there and is another version 1"):
        store.install([SECOND], NOW, any_change)
    assert store.path.read_bytes() == FIRST


def test_two_installations_do_not_meet(store: TrustStore):
    with (store.path.parent / ".trust.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(OperatorError, match="another trust file is being installed"):
            store.install([SECOND], NOW, any_change)
    assert store.install([SECOND], NOW, any_change)


def test_a_threshold_of_one_stays_a_demos(tmp_path: Path):
    alone = sign_general(encode_trust(1, END, trust_roles(threshold=1)), TRUST_TYP, [ROOT_1, ROOT_2])
    strict = TrustStore(tmp_path / "trust.json", tmp_path / "floor.json")
    with pytest.raises(TrustRefused, match="between 2"):
        strict.install_first(alone, NOW)
    assert TrustStore(tmp_path / "trust.json", tmp_path / "floor.json", demo=True).install_first(alone, NOW)


def test_a_stranger_is_told_that_the_roots_in_place_are_missing(store: TrustStore):
    with pytest.raises(SignatureRejected, match="needs 2 of version 1's root signers, and has none"):
        store.install([version(2, STRANGER)], NOW, any_change)


@contextmanager
def failing_at(nth: int, action: Callable[[], None]) -> Iterator[list[int]]:
    """`action` instead of the nth durable system call; yields how many were reached."""
    reached = [0]

    def wrap(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            reached[0] += 1
            if reached[0] == nth:
                action()
            return real(*arguments, **named)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in ("fsync", "rename", "replace"):
            patch.setattr(os, name, wrap(getattr(os, name)))
        yield reached


def disk_full() -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def begin_again(store: TrustStore) -> None:
    for path in [*store.path.parent.rglob("*.json"), *store.path.parent.rglob("*.tmp")]:
        path.unlink()
    write_durable(store.path, FIRST)


def check_whole(store: TrustStore, nth: int) -> None:
    """The old version or the new, and the same command again completes it."""
    assert store.load(NOW).version in (1, 2), nth
    store.install([SECOND], NOW, any_change)
    assert (store.load(NOW).version, [trust.version for trust in store.former()]) == (2, [1]), nth
    assert (store.path.parent / "node" / "trust-floor.json").exists(), nth


def test_an_error_at_any_durable_step_leaves_the_old_or_the_new_version(store: TrustStore):
    for nth in range(1, 100):
        with failing_at(nth, disk_full) as reached, suppress(OSError):
            store.install([SECOND], NOW, any_change)
        check_whole(store, nth)
        begin_again(store)
        if reached[0] < nth:
            break
    assert nth > 6


def test_kill_9_at_any_durable_step_leaves_the_old_or_the_new_version(store: TrustStore):
    for nth in range(1, 100):
        child = os.fork()
        if not child:
            with failing_at(nth, lambda: os._exit(9)):
                store.install([SECOND], NOW, any_change)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        check_whole(store, nth)
        begin_again(store)
        if os.waitstatus_to_exitcode(status) == 0:
            break
    assert nth > 6
