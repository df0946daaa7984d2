"""A vendor's list of pharmacies to register: what it must be, and what is taken of it. Pure.

The list is a compact JWS by a key registered for a client of class `vendor`, which may propose and nothing more. Each
entry is judged by itself: one that is refused costs that pharmacy, not the list. No list replaces a key or a client.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, Final

import msgspec

from service.access.clients import Client, ClientClass, key_ids, parse_client
from service.access.registry import Registration
from service.base64url import sha256_b64u
from service.errors import InvalidField, KeyRejected, SignatureRejected
from service.identifiers import check_finess, is_client_id
from service.jwk import is_private_jwk, parse_public_jwk
from service.jws import verify_compact
from service.strictjson import parse_json_object

ENROLMENT_TYP: Final = "relais-enrolment+jws"
#: An entry takes some 250 bytes, 340 in base64url.
MAX_LIST_BYTES: Final = 32 * 1024 * 1024
MAX_ENTRIES: Final = 50_000
#: A list signed long ago may hold keys that its pharmacies no longer have.
MAX_AGE: Final = dt.timedelta(days=30)
_AHEAD: Final = dt.timedelta(seconds=120)
_MEMBERS: Final = frozenset({"id", "finess", "jwk"})


class Refusal(StrEnum):
    """Why an entry is not taken."""

    MALFORMED = "malformed"
    ID_INVALID = "id_invalid"
    ID_TWICE = "id_twice"
    ID_TAKEN = "id_taken"
    FINESS_INVALID = "finess_invalid"
    FINESS_NOT_ALLOWED = "finess_not_allowed"
    FINESS_TWICE = "finess_twice"
    FINESS_TAKEN = "finess_taken"
    KEY_PRIVATE = "key_private"
    KEY_REJECTED = "key_rejected"
    KEY_TWICE = "key_twice"
    KEY_TAKEN = "key_taken"


#: What the report says of each.
REFUSAL_TEXTS: Final[Mapping[Refusal, str]] = {
    Refusal.MALFORMED: "an entry is an object of exactly id, finess and jwk",
    Refusal.ID_INVALID: "not a client id",
    Refusal.ID_TWICE: "the list has this id twice",
    Refusal.ID_TAKEN: "registered already, with another key, FINESS or class: a list replaces nobody",
    Refusal.FINESS_INVALID: "not a FINESS number",
    Refusal.FINESS_NOT_ALLOWED: "the FINESS is not on the allowed list",
    Refusal.FINESS_TWICE: "the list has this FINESS twice: one budget a pharmacy",
    Refusal.FINESS_TAKEN: "another client of class pharmacy holds this FINESS: register the second one by itself",
    Refusal.KEY_PRIVATE: "a private key, which has now travelled: its pharmacy needs another",
    Refusal.KEY_REJECTED: "the key is of another type, malformed, weak or not for signatures",
    Refusal.KEY_TWICE: "the list has this key twice: each pharmacy has its own",
    Refusal.KEY_TAKEN: "another client has this key",
}


class Entry(msgspec.Struct, frozen=True):
    """What an entry says once its form holds. `position` counts from 0."""

    position: int
    id: str
    finess: str
    kid: str
    jwk: Mapping[str, str]


class Refused(msgspec.Struct, frozen=True):
    """An entry that is not taken; `id` only where it has the shape of one, for a report must not echo anything."""

    position: int
    id: str | None
    reason: Refusal


class VendorList(msgspec.Struct, frozen=True):
    """A list whose signature holds: whose, when signed, the digest of its bytes, its entries unjudged."""

    vendor: str
    issued: dt.datetime
    digest: str
    entries: tuple[Any, ...]


class Judgement(msgspec.Struct, frozen=True):
    """What becomes of a list: clients to register, ids registered so already, entries refused in their order."""

    new: tuple[Client, ...]
    known: tuple[str, ...]
    refused: tuple[Refused, ...]

    def counts(self) -> dict[str, int]:
        """Entries by reason of refusal."""
        return dict(Counter(one.reason.value for one in self.refused))


class _Payload(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The signed members of a list; `iat` in Unix seconds."""

    iss: str
    aud: str
    iat: int
    clients: list[Any]


def parse_allowed(text: str) -> frozenset[str]:
    """FINESS numbers, one a line; empty lines and what follows `#` count for nothing. Raises `InvalidField`."""
    numbers: set[str] = set()
    for number, line in enumerate(text.splitlines(), 1):
        written = line.partition("#")[0].strip()
        if not written:
            continue
        try:
            numbers.add(check_finess(written))
        except InvalidField as error:
            raise InvalidField(f"line {number}: {error.detail}") from None
    if not numbers:
        raise InvalidField("no FINESS number in it: nobody would be allowed")
    return frozenset(numbers)


def open_vendor_list(document: str, vendor: Client, instance: str, now: dt.datetime) -> VendorList:
    """The list a vendor signed for this instance.

    Raises `SignatureRejected` for one that is not, and where the vendor may not sign: another class, suspended, or a
    key that has ended.
    """
    # 1. Who: a vendor that may speak now.
    if vendor.client_class is not ClientClass.VENDOR:
        raise SignatureRejected(f"{vendor.id} is registered, but not as a vendor")
    if vendor.suspended:
        raise SignatureRejected(f"{vendor.id} is suspended")
    keys = {kid: key for kid, key in vendor.keys.items() if vendor.has_key(kid, now.timestamp())}
    # 2. Signature, before anything is parsed.
    payload = verify_compact(document, ENROLMENT_TYP, keys)
    # 3. Form, and for whom: a list made for a trial instance is none here.
    try:
        said = msgspec.convert(parse_json_object(payload), _Payload)
    except msgspec.ValidationError:
        raise SignatureRejected("a list is exactly iss, aud, iat and clients") from None
    if said.iss != vendor.id or said.aud != instance:
        raise SignatureRejected("the list is another vendor's, or for another instance")
    if len(said.clients) > MAX_ENTRIES:
        raise SignatureRejected(f"more than {MAX_ENTRIES} entries: split the list")
    # 4. Time.
    issued = _issued(said.iat)
    if not now - MAX_AGE <= issued <= now + _AHEAD:
        raise SignatureRejected(f"signed more than {MAX_AGE.days} days ago, or in the future: sign it anew")
    return VendorList(vendor.id, issued, sha256_b64u(document.encode("ascii")), tuple(said.clients))


def judge_entries(entries: Iterable[Any], allowed: frozenset[str], known: Mapping[str, Registration]) -> Judgement:
    """What becomes of each entry, given the allowed FINESS numbers and who is registered.

    Of entries that share an id, a FINESS or a key none is taken: nobody here knows which is the right one.
    """
    parsed, refused = _parse_entries(entries)
    taken = _Taken(known)
    ids, numbers, kids = (Counter(getattr(entry, name) for entry in parsed) for name in ("id", "finess", "kid"))
    new: list[Client] = []
    same: list[str] = []
    for entry in parsed:
        repeated = (ids[entry.id] > 1, numbers[entry.finess] > 1, kids[entry.kid] > 1)
        reason = _repetition(repeated) or (None if taken.same(entry) else _objection(entry, allowed, taken))
        if reason is not None:
            refused.append(Refused(entry.position, entry.id, reason))
        elif taken.same(entry):
            same.append(entry.id)
        else:
            new.append(_client(entry))
    return Judgement(tuple(new), tuple(same), tuple(sorted(refused, key=lambda one: one.position)))


def slow_start(client: Client, percent: int) -> dict[str, int]:
    """The share of its budgets of a day that a client enrolled by a vendor begins with; at least one lookup."""
    return {name: max(1, getattr(client, name) * percent // 100) for name in ("daily", "unknown")}


class _Taken:
    """Who holds what, of all that are registered."""

    def __init__(self, known: Mapping[str, Registration]) -> None:
        self.known = known
        self.finess: set[str] = set()
        self.kids: set[str] = set()
        for registration in known.values():
            body = registration.body
            # A hub acts for many; that it does says nothing about their own.
            self.finess.update(map(str, body.get("finess", ())) if body.get("class") == ClientClass.PHARMACY else ())
            self.kids.update(key_ids(body))

    def same(self, entry: Entry) -> bool:
        """Whether the client is registered so already; a suspension changes nothing about that."""
        registration = self.known.get(entry.id)
        if registration is None:
            return False
        body = registration.body
        same = body.get("class") == ClientClass.PHARMACY and list(body.get("finess", ())) == [entry.finess]
        return same and entry.kid in key_ids(body)


def _objection(entry: Entry, allowed: frozenset[str], taken: _Taken) -> Refusal | None:
    """The first rule an entry breaks by itself, or None."""
    if entry.id in taken.known:
        return Refusal.ID_TAKEN
    if entry.finess not in allowed:
        return Refusal.FINESS_NOT_ALLOWED
    if entry.finess in taken.finess:
        return Refusal.FINESS_TAKEN
    return Refusal.KEY_TAKEN if entry.kid in taken.kids else None


def _repetition(repeated: tuple[bool, bool, bool]) -> Refusal | None:
    reasons = (Refusal.ID_TWICE, Refusal.FINESS_TWICE, Refusal.KEY_TWICE)
    return next((reason for reason, is_repeated in zip(reasons, repeated, strict=True) if is_repeated), None)


def _parse_entries(entries: Iterable[Any]) -> tuple[list[Entry], list[Refused]]:
    parsed: list[Entry] = []
    refused: list[Refused] = []
    for position, entry in enumerate(entries):
        found = _parse_entry(position, entry)
        if isinstance(found, Entry):
            parsed.append(found)
        else:
            named = entry.get("id") if isinstance(entry, dict) else None
            shown = named if isinstance(named, str) and is_client_id(named) else None
            refused.append(Refused(position, shown, found))
    return parsed, refused


def _parse_entry(position: int, entry: Any) -> Entry | Refusal:
    if not isinstance(entry, dict) or set(entry) != _MEMBERS or not isinstance(entry["jwk"], dict):
        return Refusal.MALFORMED
    if not isinstance(entry["id"], str) or not is_client_id(entry["id"]):
        return Refusal.ID_INVALID
    try:
        finess = check_finess(entry["finess"]) if isinstance(entry["finess"], str) else None
    except InvalidField:
        finess = None
    if finess is None:
        return Refusal.FINESS_INVALID
    if is_private_jwk(entry["jwk"]):
        return Refusal.KEY_PRIVATE
    try:
        key = parse_public_jwk(entry["jwk"])
    except KeyRejected:
        return Refusal.KEY_REJECTED
    return Entry(position, entry["id"], finess, key.kid, key.jwk)


def _client(entry: Entry) -> Client:
    members = {"class": ClientClass.PHARMACY.value, "finess": [entry.finess], "keys": [dict(entry.jwk)]}
    return parse_client(entry.id, members)


def _issued(seconds: int) -> dt.datetime:
    try:
        return dt.datetime.fromtimestamp(seconds, dt.UTC)
    except (ValueError, OverflowError, OSError):
        raise SignatureRejected("iat is not a time") from None
