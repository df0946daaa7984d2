"""The plaintext of an entry: contracts in MessagePack, padded to 64-byte steps (docs/snapshot_format.md). Pure.

Fixed for the life of the format: every byte here is covered by test vectors, because a base and its deltas are
compared entry by entry and other languages verify them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from service.errors import RecordUnreadable
from service.rights.model import Contract, Suspension

#: Every plaintext fills whole steps, so that a sealed length tells little about what a person has.
STEP: Final = 64
CANARY: Final = 0b1
#: By the bytes of the last step that are filled.
_PADDINGS: Final = tuple(b"\x80" + bytes(STEP - 1 - filled) for filled in range(STEP))
#: `date.toordinal()` of 1970-01-01: stored dates are days since then.
EPOCH: Final = dt.date(1970, 1, 1).toordinal()
#: Where an encoded contract holds its AMC number: after the heads of the array and of a text of 10.
AMC_SLICE: Final = slice(2, 12)

_ENCODER: Final = msgspec.msgpack.Encoder()
_FROM_DAYS: Final = dt.date.fromordinal


class Entry(msgspec.Struct, frozen=True):
    """What a layer says about one identity; `deleted` marks a tombstone, `canary` a person nobody should ask for."""

    contracts: tuple[Contract, ...]
    canary: bool = False
    deleted: bool = False


#: Periods without rights in days since 1970-01-01, both ends inclusive; None has no known end.
Gaps = tuple[tuple[int, int | None], ...]


class _Stored(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A contract as it lies in an entry: an array, its dates in days since 1970-01-01."""

    amc: str
    member: str
    csr: str
    convention: str
    payer_rank: int
    valid_from: int
    valid_to: int | None
    card_valid_to: int | None
    closed_on: int | None
    suspended: Gaps
    responsible: bool
    domains: tuple[str, ...]
    rates: dict[str, int]
    rate_base: str


#: The same array before it is encoded, with those parts encoded already that come again in other contracts.
Fields = tuple[
    str,
    str,
    str,
    str,
    int,
    int,
    int | None,
    int | None,
    int | None,
    msgspec.Raw,
    bool,
    msgspec.Raw,
    msgspec.Raw,
    str,
]

_DECODER: Final = msgspec.msgpack.Decoder(tuple[int, tuple[_Stored, ...]] | None)
_CONTRACT_DECODER: Final = msgspec.msgpack.Decoder(_Stored)
_TOMBSTONE: Final = Entry((), deleted=True)


def encode_contract(contract: Contract) -> bytes:
    """The MessagePack array of one contract; suspensions, domains and rates in order, so that equals encode equally."""
    return encode_fields(
        (
            contract.amc,
            contract.member,
            contract.csr,
            contract.convention,
            contract.payer_rank,
            epoch_days(contract.valid_from),
            _days(contract.valid_to),
            _days(contract.card_valid_to),
            _days(contract.closed_on),
            encode_gaps((epoch_days(gap.since), _days(gap.until)) for gap in contract.suspended),
            contract.responsible,
            encode_domains(contract.domains),
            encode_rates(contract.rates),
            contract.rate_base,
        )
    )


def encode_fields(fields: Fields) -> bytes:
    """The MessagePack array of one contract, field by field as `_Stored` names them."""
    return _ENCODER.encode(fields)


def encode_gaps(gaps: Iterable[tuple[int, int | None]]) -> msgspec.Raw:
    """Periods in the order of their beginnings, then of their ends; no end comes last."""
    return msgspec.Raw(_ENCODER.encode(sorted(gaps, key=_chronological)))


def encode_domains(domains: Iterable[str]) -> msgspec.Raw:
    """Domains in order, each once."""
    return msgspec.Raw(_ENCODER.encode(sorted(set(domains))))


def encode_rates(rates: Mapping[str, int]) -> msgspec.Raw:
    """Rates in the order of their benefits."""
    return msgspec.Raw(_ENCODER.encode(dict(sorted(rates.items()))))


def decode_contract(encoded: bytes) -> Contract:
    """The contract that `encode_contract` was given, its parts in order."""
    return _contract(_CONTRACT_DECODER.decode(encoded))


def epoch_days(date: dt.date) -> int:
    """Days since 1970-01-01, as entries hold dates."""
    return date.toordinal() - EPOCH


def encode_entry(flags: int, contracts: Sequence[bytes]) -> bytes:
    """The padded plaintext of an entry from encoded contracts, which must be distinct and in order of their bytes."""
    return pad(b"".join((b"\x92", flags.to_bytes(1), _array_head(len(contracts)), *contracts)))


def encode_tombstone() -> bytes:
    """The padded plaintext that means: no record, whatever the base says."""
    return pad(_ENCODER.encode(None))


def decode_entry(plaintext: bytes) -> Entry:
    """The entry in a padded plaintext. Raises `RecordUnreadable`."""
    try:
        value = _DECODER.decode(unpad(plaintext))
        if value is None:
            return _TOMBSTONE
        flags, stored = value
        return Entry(tuple([_contract(item) for item in stored]), bool(flags & CANARY))
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError, OverflowError) as error:
        raise RecordUnreadable("the entry is not of this format") from error


def pad(data: bytes) -> bytes:
    """ISO/IEC 7816-4 padding: 0x80, then zeros up to a whole number of steps."""
    return data + _PADDINGS[len(data) % STEP]


def unpad(data: bytes) -> bytes:
    """What `pad` was given. Raises `RecordUnreadable`."""
    stripped = data.rstrip(b"\x00")
    if len(data) % STEP or stripped[-1:] != b"\x80" or len(data) - len(stripped) >= STEP:
        raise RecordUnreadable("the entry is not padded")
    return stripped[:-1]


def _chronological(gap: tuple[int, int | None]) -> tuple[int, bool, int]:
    since, until = gap
    return since, until is None, until or 0


def _days(date: dt.date | None) -> int | None:
    return None if date is None else epoch_days(date)


def _array_head(length: int) -> bytes:
    """MessagePack's shortest header of an array."""
    if length < 16:
        return (0x90 | length).to_bytes(1)
    if length < 1 << 16:
        return b"\xdc" + length.to_bytes(2)
    return b"\xdd" + length.to_bytes(4)


def _contract(item: _Stored) -> Contract:
    valid_to, card_valid_to, closed_on = item.valid_to, item.card_valid_to, item.closed_on
    return Contract(
        item.amc,
        item.member,
        item.csr,
        item.convention,
        item.payer_rank,
        _FROM_DAYS(item.valid_from + EPOCH),
        None if valid_to is None else _FROM_DAYS(valid_to + EPOCH),
        None if card_valid_to is None else _FROM_DAYS(card_valid_to + EPOCH),
        None if closed_on is None else _FROM_DAYS(closed_on + EPOCH),
        tuple([_suspension(*gap) for gap in item.suspended]) if item.suspended else (),
        item.responsible,
        item.domains,
        item.rates,
        item.rate_base,
    )


def _suspension(since: int, until: int | None) -> Suspension:
    return Suspension(_FROM_DAYS(since + EPOCH), None if until is None else _FROM_DAYS(until + EPOCH))
