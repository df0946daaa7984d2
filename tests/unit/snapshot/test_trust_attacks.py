"""Attacks on who may sign, by name: each is refused, and the trust file and the active snapshot stay as they were."""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key

from service.control.chain import ChainVerifier
from service.control.format import ORDER_TYP, order_payload
from service.errors import ChainBroken, OperatorError, SignatureRejected, SnapshotRefused, TrustError, TrustRefused
from service.journal.batch import HeadSigner
from service.journal.entries import HEAD_TYP, HEADER_TYP
from service.jwk import PrivateKey, parse_private_jwk, private_jwk
from service.jws import sign_compact, sign_general, verify_compact
from service.snapshot.catalog import Catalog
from service.snapshot.manifest import MANIFEST_TYP, encode_manifest
from service.snapshot.opened import open_snapshot
from service.snapshot.steps import Step
from service.snapshot.trust import TRUST_TYP, Person, Role, RoleName, Trust, encode_trust
from service.snapshot.truststore import TrustStore
from service.snapshot.verify import Ordered
from tests.unit.control.control_chain import make_order
from tests.unit.snapshot.forged_signatures import FORGERIES, Entry, Forgery
from tests.unit.snapshot.snapshot_maker import (
    ALICE,
    ALICE_NEW,
    BOB,
    IDENTITY,
    NOW,
    ROOT_1,
    ROOT_2,
    STRANGER,
    SnapshotMaker,
    conditions,
    floor_left_by,
    key_of,
)


def p256(number: int) -> PrivateKey:
    return parse_private_jwk(private_jwk(derive_private_key(number, SECP256R1())))


#: Two people have P-256 keys, so that every confusion of algorithms can be tried in both directions.
DORA, ROOT_3 = p256(3), p256(4)
ROOT_1_NEW = key_of(21)
END = NOW + dt.timedelta(days=365)
SIGNERS = (
    Person("alice", (ALICE.public, ALICE_NEW.public)),
    Person("bob", (BOB.public,)),
    Person("dora", (DORA.public,)),
)
ROOTS = (
    Person("root-1", (ROOT_1.public, ROOT_1_NEW.public)),
    Person("root-2", (ROOT_2.public,)),
    Person("root-3", (ROOT_3.public,)),
)


def payload(
    version: int,
    *,
    roots: Iterable[Person] = ROOTS,
    signers: Iterable[Person] = SIGNERS,
    thresholds: tuple[int, int] = (2, 2),
    expires_at: dt.datetime = END,
) -> bytes:
    roles = {RoleName.ROOT: Role(thresholds[0], tuple(roots)), RoleName.SNAPSHOT: Role(thresholds[1], tuple(signers))}
    return encode_trust(version, expires_at, roles)


def trust_file(version: int, *keys: PrivateKey, **changes: Any) -> bytes:
    return sign_general(payload(version, **changes), TRUST_TYP, keys or (ROOT_1, ROOT_2))


def without(people: Iterable[Person], *names: str) -> tuple[Person, ...]:
    return tuple(person for person in people if person.name not in names)


class Site:
    """A home: trust version 1, and snapshot 5, signed by alice and bob, as the active one."""

    def __init__(self, root: Path) -> None:
        self.home = root / "home"
        self.trust = TrustStore(self.home / "trust.json", self.home / "node" / "trust-floor.json")
        self.catalog = Catalog(self.home / "snapshots")
        self.home.mkdir()
        self.trust.install_first(trust_file(1), NOW)
        self.maker = SnapshotMaker(root)
        first = self.maker.make()
        self.digest = self.catalog.take(first, conditions(trust=self.trust.load(NOW))).digest
        self.floor = floor_left_by(self.maker.manifest(first / "records.lmdb"))

    def state(self) -> dict[str, bytes]:
        """Every byte that decides what is trusted and what serves."""
        kept = [path for path in self.home.rglob("*") if path.is_file() and "verdict" not in path.name]
        return {str(path.relative_to(self.home)): path.read_bytes() for path in kept if not path.name.endswith("lock")}

    def rotate(self, *documents: bytes, now: dt.datetime = NOW) -> tuple[Trust, ...]:
        return self.trust.install(documents, now, lambda _current, _following: None)

    def load(self, folder: Path, now: dt.datetime = NOW) -> None:
        self.catalog.take(folder, conditions(trust=self.trust.load(now), floor=self.floor, now=now))

    def make(self, *signers: PrivateKey, typ: str = MANIFEST_TYP, name: str = "next") -> Path:
        """Snapshot 6."""
        self.maker.signers, self.maker.typ = list(signers), typ
        return self.maker.make(name, sequence=6)

    def make_with(self, document: Callable[[bytes], bytes]) -> Path:
        """Snapshot 6 with a manifest document of somebody's own making over its payload."""
        folder = self.make()
        manifest = encode_manifest(self.maker.manifest(folder / "records.lmdb"))
        six = manifest.replace(b'"sequence":5', b'"sequence":6')
        (folder / "manifest.json").unlink()
        (folder / "manifest.json").write_bytes(document(six))
        return folder

    def serves(self, now: dt.datetime = NOW) -> bool:
        """Whether the active snapshot opens and answers."""
        snapshot = open_snapshot(
            self.catalog.path(5),
            Ordered(5, self.digest),
            trust=self.trust.load(now),
            peppers=conditions().peppers,
            now=now,
        )
        with closing(snapshot):
            return bool(snapshot.find(IDENTITY))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def refuses(site: Site, attack: Callable[[], object], kind: type[TrustError], words: str) -> TrustError:
    """The attack fails with an error that says `words`, and has changed nothing."""
    before = site.state()
    with pytest.raises(kind) as caught:
        attack()
    assert words in str(caught.value)
    assert site.state() == before
    assert site.catalog.sequences() == (5,)
    assert site.serves()
    return caught.value


def refuses_snapshot(site: Site, folder: Path, words: str) -> None:
    error = refuses(site, lambda: site.load(folder), SnapshotRefused, words)
    assert isinstance(error, SnapshotRefused)
    assert error.step == Step.SIGNATURES


def test_the_people_themselves_are_not_refused(site: Site):
    site.load(site.make(ALICE, DORA))
    assert site.catalog.sequences() == (6, 5)
    assert site.rotate(trust_file(2, ROOT_1, ROOT_3))[0].version == 2


# One signer signing twice


def test_one_signer_with_two_keys_is_one_signer(site: Site):
    refuses_snapshot(site, site.make(ALICE, ALICE_NEW), "1 of them (alice), one person signed with several keys")


def test_one_root_with_two_keys_is_one_root(site: Site):
    attack = trust_file(2, ROOT_1, ROOT_1_NEW)
    refuses(site, lambda: site.rotate(attack), SignatureRejected, "needs 2 of version 1's root signers, and has root-1")


def test_one_key_twice_is_refused(site: Site):
    twice = site.make_with(lambda manifest: sign_general(manifest, MANIFEST_TYP, [ALICE, ALICE]))
    refuses_snapshot(site, twice, "one key signed twice")
    attack = sign_general(payload(2), TRUST_TYP, [ROOT_1, ROOT_1])
    refuses(site, lambda: site.rotate(attack), SignatureRejected, "one key signed twice")


def test_an_es256_key_that_signs_twice_differently_is_still_one(site: Site):
    twice = site.make_with(lambda manifest: sign_general(manifest, MANIFEST_TYP, [DORA, DORA]))
    refuses_snapshot(site, twice, "one key signed twice")


def test_one_person_under_two_spellings_is_refused_even_when_signed(site: Site):
    people = (*SIGNERS, Person("ALICE", (STRANGER.public,)))
    attack = trust_file(2, signers=people)
    refuses(site, lambda: site.rotate(attack), TrustRefused, "names one person twice")


def test_one_key_under_two_names_is_refused_even_when_signed(site: Site):
    people = (*SIGNERS, Person("alias", (BOB.public,)))
    attack = trust_file(2, signers=people)
    refuses(site, lambda: site.rotate(attack), TrustRefused, "one key stands under two names")


# A revoked signer


def test_a_signer_removed_by_the_next_version_signs_no_more(site: Site):
    site.rotate(trust_file(2, signers=(*without(SIGNERS, "dora"), Person("emil", (key_of(22).public,)))))
    refuses_snapshot(site, site.make(ALICE, DORA), "1 of them (alice), 1 by keys the trust file does not know")


def test_a_revoked_key_of_a_signer_who_stays_signs_no_more(site: Site):
    site.rotate(trust_file(2, signers=(Person("alice", (ALICE.public,)), *without(SIGNERS, "alice"))))
    refuses_snapshot(site, site.make(ALICE_NEW, DORA), "1 of them (dora), 1 by keys the trust file does not know")


def test_what_a_removed_signer_signed_before_does_not_serve_after_a_restart(site: Site):
    site.rotate(trust_file(2, signers=(*without(SIGNERS, "bob"), Person("emil", (key_of(22).public,)))))
    with pytest.raises(SnapshotRefused) as caught:
        site.serves()
    assert caught.value.step == Step.SIGNATURES


def test_a_removed_root_cannot_sign_itself_back(site: Site):
    site.rotate(trust_file(2, roots=without(ROOTS, "root-3")))
    attack = trust_file(3, ROOT_1, ROOT_3)
    refuses(site, lambda: site.rotate(attack), SignatureRejected, "needs 2 of version 2's root signers, and has root-1")


# An expired root


def test_an_expired_trust_file_admits_nothing(site: Site):
    folder = site.make(ALICE, BOB)
    refuses(site, lambda: site.load(folder, now=END), TrustRefused, "expired")


def test_an_expired_trust_file_opens_nothing_and_its_successor_does(site: Site):
    with pytest.raises(TrustRefused, match="expired"):
        site.serves(now=END)
    site.rotate(trust_file(2, expires_at=END + dt.timedelta(days=365)), now=END)
    site.trust.load(END).check_unexpired(END)


def test_a_successor_that_has_expired_itself_is_refused(site: Site):
    attack = trust_file(2, expires_at=NOW)
    refuses(site, lambda: site.rotate(attack), TrustRefused, "expired")


# A skipped version, a version again, a version back


@pytest.mark.parametrize("version", [3, 4, 2**53 - 1])
def test_a_skipped_version_is_refused(site: Site, version: int):
    attack = trust_file(version)
    refuses(site, lambda: site.rotate(attack), TrustRefused, f"expected trust version 2, found {version}")


def test_another_file_of_the_same_version_is_refused(site: Site):
    attack = trust_file(1, expires_at=END + dt.timedelta(days=1))
    refuses(site, lambda: site.rotate(attack), TrustRefused, "expected trust version 2, found 1")


def test_a_version_back_is_refused(site: Site):
    site.rotate(trust_file(2))
    refuses(site, lambda: site.rotate(trust_file(1)), TrustRefused, "expected trust version 3, found 1")


def test_a_former_version_put_back_by_hand_vouches_for_nothing(site: Site):
    site.rotate(trust_file(2))
    (site.home / "trust.json").write_bytes((site.home / "trust.1.json").read_bytes())
    before = site.state()
    for attempt in (site.serves, lambda: site.load(site.make(ALICE, BOB, name=os.urandom(4).hex()))):
        with pytest.raises(TrustRefused, match="version 2 or above, as installed here; found 1: a rollback"):
            attempt()
    assert site.state() == before
    assert site.catalog.sequences() == (5,)


# Who hands over to whom

NEWCOMERS = (Person("root-4", (key_of(23).public,)), Person("root-5", (key_of(24).public,)))


def test_the_new_roots_alone_cannot_take_over(site: Site):
    attack = trust_file(2, key_of(23), key_of(24), roots=NEWCOMERS)
    refuses(site, lambda: site.rotate(attack), SignatureRejected, "needs 2 of version 1's root signers, and has none")


def test_one_old_root_does_not_let_the_new_ones_in(site: Site):
    attack = trust_file(2, ROOT_1, ROOT_1_NEW, key_of(23), key_of(24), roots=NEWCOMERS)
    refuses(site, lambda: site.rotate(attack), SignatureRejected, "version 1's root signers, and has root-1")


def test_the_old_roots_alone_cannot_name_people_who_did_not_agree(site: Site):
    attack = trust_file(2, ROOT_1, ROOT_2, roots=NEWCOMERS)
    refuses(site, lambda: site.rotate(attack), SignatureRejected, "needs 2 of its own root signers, and has none")


def test_snapshot_signers_are_no_roots(site: Site):
    attack = trust_file(2, ALICE, BOB, DORA)
    refuses(site, lambda: site.rotate(attack), SignatureRejected, "and has none")


@pytest.mark.parametrize("thresholds", [(1, 2), (2, 1), (0, 2), (2, 4)])
def test_no_threshold_falls_below_two_or_beyond_reach_even_when_signed(site: Site, thresholds: tuple[int, int]):
    attack = trust_file(2, thresholds=thresholds)
    refuses(site, lambda: site.rotate(attack), TrustRefused, "threshold must lie between 2 and")


# Algorithm confusion


def document(body: bytes, typ: str, honest: PrivateKey, forged: Entry) -> bytes:
    """One honest signature and a forged one: with both counted, two people."""
    value: dict[str, Any] = json.loads(sign_general(body, typ, [honest]))
    value["signatures"].append(forged)
    return json.dumps(value).encode()


@pytest.mark.parametrize("victim", [BOB, DORA], ids=["Ed25519", "P-256"])
@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES)
def test_a_forged_signature_on_a_manifest_refuses_it(site: Site, forge: Callable[[Forgery], Entry], victim: PrivateKey):
    folder = site.make_with(
        lambda body: document(body, MANIFEST_TYP, ALICE, forge(Forgery(body, MANIFEST_TYP, victim, STRANGER)))
    )
    refuses_snapshot(site, folder, "expected 2 of alice, bob, dora")


@pytest.mark.parametrize("victim", [ROOT_2, ROOT_3], ids=["Ed25519", "P-256"])
@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES)
def test_a_forged_signature_on_a_trust_file_refuses_it(
    site: Site, forge: Callable[[Forgery], Entry], victim: PrivateKey
):
    body = payload(2)
    attack = document(body, TRUST_TYP, ROOT_1, forge(Forgery(body, TRUST_TYP, victim, STRANGER)))
    refuses(site, lambda: site.rotate(attack), SignatureRejected, "")


def test_the_form_that_is_forged_passes_when_it_is_not(site: Site):
    body = payload(2)
    honest = Forgery(body, TRUST_TYP, ROOT_3, STRANGER).signed()
    assert site.rotate(document(body, TRUST_TYP, ROOT_1, honest))[0].version == 2


# Another serialization


def compact(body: bytes) -> bytes:
    return sign_compact(body, MANIFEST_TYP, ALICE).encode()


def flattened(body: bytes) -> bytes:
    value = json.loads(sign_general(body, MANIFEST_TYP, [ALICE]))
    return json.dumps({"payload": value["payload"], **value["signatures"][0]}).encode()


def general_and_flattened(body: bytes) -> bytes:
    value = json.loads(sign_general(body, MANIFEST_TYP, [ALICE, BOB]))
    return json.dumps({**value, **value["signatures"][0]}).encode()


def payload_twice(body: bytes) -> bytes:
    signed = sign_general(body, MANIFEST_TYP, [ALICE, BOB])
    return signed.replace(b'{"payload":', b'{"payload":"e30","payload":', 1)


def detached_payload(body: bytes) -> bytes:
    value = json.loads(sign_general(body, MANIFEST_TYP, [ALICE, BOB]))
    return json.dumps({"signatures": value["signatures"]}).encode()


@pytest.mark.parametrize("form", [compact, flattened, general_and_flattened, payload_twice, detached_payload])
def test_another_serialization_is_refused(site: Site, form: Callable[[bytes], bytes]):
    refuses_snapshot(site, site.make_with(form), "expected 2 of alice, bob, dora")


# An object of another type, signed by the same people


def general(*objects: str) -> bytes:
    """Compact JWSs over one payload as one General JWS."""
    parts = [each.split(".") for each in objects]
    entries = [{"protected": head, "signature": signature} for head, _, signature in parts]
    return json.dumps({"payload": parts[0][1], "signatures": entries}).encode()


ORDER = order_payload(make_order())
OTHERS: Mapping[str, Callable[[Sequence[PrivateKey]], bytes]] = {
    "a trust file": lambda keys: sign_general(payload(2), TRUST_TYP, keys),
    "a manifest": lambda keys: sign_general(b'{"format":"relais-snapshot/1"}', MANIFEST_TYP, keys),
    "an order": lambda keys: general(*(sign_compact(ORDER, ORDER_TYP, key) for key in keys)),
    "a journal head": lambda keys: general(*(HeadSigner(key).sign(b'{"size":1}') for key in keys)),
    "a journal header": lambda keys: general(*(sign_compact(b"{}", HEADER_TYP, key) for key in keys)),
    "a token": lambda keys: general(*(sign_compact(b"{}", "JWT", key) for key in keys)),
}


@pytest.mark.parametrize("name", [name for name in OTHERS if name != "a manifest"])
def test_what_is_no_manifest_is_refused_as_one(site: Site, name: str):
    folder = site.make_with(lambda _: OTHERS[name]((ALICE, BOB)))
    refuses_snapshot(site, folder, "the object is not a relais-snapshot+jws")


@pytest.mark.parametrize("name", [name for name in OTHERS if name != "a trust file"])
def test_what_is_no_trust_file_is_refused_as_one(site: Site, name: str):
    attack = OTHERS[name]((ROOT_1, ROOT_2))
    refuses(site, lambda: site.rotate(attack), SignatureRejected, "the object is not a relais-trust+jws")


@pytest.mark.parametrize("typ", [TRUST_TYP, ORDER_TYP, HEAD_TYP, HEADER_TYP, "JWT"])
def test_a_good_manifest_signed_under_another_type_is_refused(site: Site, typ: str):
    refuses_snapshot(site, site.make(ALICE, BOB, typ=typ), "the object is not a relais-snapshot+jws")


@pytest.mark.parametrize("typ", [MANIFEST_TYP, ORDER_TYP, HEAD_TYP, HEADER_TYP, "JWT"])
def test_a_good_trust_file_signed_under_another_type_is_refused(site: Site, typ: str):
    attack = sign_general(payload(2), typ, [ROOT_1, ROOT_2])
    refuses(site, lambda: site.rotate(attack), SignatureRejected, "the object is not a relais-trust+jws")


@pytest.mark.parametrize("typ", [MANIFEST_TYP, TRUST_TYP, HEAD_TYP])
def test_an_order_signed_under_another_type_is_no_order(typ: str):
    orders, broken = ChainVerifier({ALICE.kid: ALICE.public}).accept([(1, sign_compact(ORDER, typ, ALICE))])
    assert orders == []
    assert isinstance(broken, ChainBroken)
    assert "not a relais-order+jws" in str(broken)


@pytest.mark.parametrize("typ", [MANIFEST_TYP, TRUST_TYP, ORDER_TYP])
def test_what_a_signer_signed_is_no_journal_head(typ: str):
    with pytest.raises(SignatureRejected, match="not a relais-head"):
        verify_compact(sign_compact(b'{"size":1}', typ, ALICE), HEAD_TYP, {ALICE.kid: ALICE.public})


def test_a_manifest_is_no_trust_file_for_somebody_who_holds_both_roles(site: Site):
    both = Person("root-2", (ROOT_2.public,))
    site.rotate(trust_file(2, signers=(*SIGNERS, both)))
    attack = sign_general(payload(3), MANIFEST_TYP, [ROOT_1, ROOT_2])
    refuses(site, lambda: site.rotate(attack), SignatureRejected, "not a relais-trust+jws")


# Denial


def test_a_strangers_signature_neither_counts_nor_harms(site: Site):
    site.rotate(trust_file(2, STRANGER, ROOT_2, ROOT_3))
    site.load(site.make(STRANGER, BOB, DORA))
    assert site.catalog.sequences() == (6, 5)


def test_an_installation_that_the_operators_refuse_leaves_all_as_it_was(site: Site):
    def refuse(_current: Trust, _following: Trust) -> None:
        raise OperatorError("the active snapshot would lack signers")

    before = site.state()
    with pytest.raises(OperatorError):
        site.trust.install([trust_file(2)], NOW, refuse)
    assert site.state() == before
    assert site.serves()
