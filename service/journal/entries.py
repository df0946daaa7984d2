"""What a journal segment holds: header, entries and heads, and their exact bytes (docs/journal_format.md). Pure.

Every struct lists its fields in alphabetical order and holds no floats, so that its encoding is its RFC 8785 form.
"""

from __future__ import annotations

import datetime as dt
import uuid
from enum import StrEnum
from typing import Any, Final

import msgspec

from service.base64url import b64u_decode
from service.errors import SignatureRejected

FORMAT: Final = "relais-journal/1"
HEADER_TYP: Final = "relais-journal+jws"
HEAD_TYP: Final = "relais-head+jws"
HEADER_LINE: Final = b'{"header":"'
HEAD_LINE: Final = b'{"head":"'
#: A reader refuses longer lines, so a writer never makes one. An answer of one person takes about 2 KiB.
MAX_LINE_BYTES: Final = 4 * 1024 * 1024
#: Bytes of an answer and a question together; sealing turns three bytes into four.
MAX_CONTENT_BYTES: Final = 2 * 1024 * 1024


class Disclosed(StrEnum):
    """What an answer gave away: nothing about a contract, its status only, or the contract."""

    NONE = "none"
    STATUS = "status"
    CONTRACT = "contract"


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """An answer that waits to be recorded.

    `answer` and `query` are RFC 8785 bytes; `opening` the 16 bytes under `asked`; `identity` the canonical
    identity, or None for a fictitious NIR, which is neither pseudonymised nor sealed; `lease` the number of the
    budget lease it was charged to; `snapshot` the sequence it rests on.
    """

    answer: bytes
    query: bytes
    opening: bytes
    identity: str | None
    client: str
    finess: str
    lease: int | None
    disclosed: str
    status: str
    reasons: tuple[str, ...]
    snapshot: int | None


class Receipt(msgspec.Struct, frozen=True):
    """Proof that an answer was recorded: the head's JWS, the place in its batch, the path from leaf to root."""

    head: str
    index: int
    path: tuple[str, ...]


class Link(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The last whole head of a segment: SHA-256 of its JWS, or of the header's JWS where no head followed."""

    head: str
    journal: str


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Payload of a segment's first line. `worker` is the slot whose segments form one chain through `previous`."""

    at: str
    format: str
    journal: str
    key_sha256: str
    node: str
    officers: tuple[str, ...]
    previous: Link | None
    worker: int


class Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Payload of the line that ends a batch.

    `first` is n of its first entry, `root` the Merkle tree hash of its answers, `entries` the SHA-256 of its
    lines with their newlines, `previous` the SHA-256 of the JWS before: a head, or the header.
    """

    at: str
    entries: str
    first: int
    journal: str
    previous: str
    root: str
    size: int


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One recorded answer. `subject` and `sealed` are None for a fictitious NIR."""

    at: str
    client: str
    disclosed: str
    finess: str
    leaf: str
    lease: int | None
    n: int
    reasons: tuple[str, ...]
    sealed: str | None
    snapshot: int | None
    status: str
    subject: str | None


class _HeadLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    head: str


class _HeaderLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    header: str


_ENCODER: Final = msgspec.json.Encoder()
_ENTRY: Final = msgspec.json.Decoder(Entry)
_HEAD_LINE: Final = msgspec.json.Decoder(_HeadLine)
_HEADER_LINE: Final = msgspec.json.Decoder(_HeaderLine)


def encode(value: Header | Head | Entry) -> bytes:
    """RFC 8785 bytes of a header's or head's payload, or of an entry."""
    return _ENCODER.encode(value)


def header_line(token: str) -> bytes:
    """The first line of a segment."""
    return b'{"header":"' + token.encode("ascii") + b'"}\n'


def head_line(token: str) -> bytes:
    """The line that ends a batch."""
    return b'{"head":"' + token.encode("ascii") + b'"}\n'


def parse_entry(line: bytes) -> Entry:
    """The entry in a line without its newline; raises `SignatureRejected` unless these are an entry's exact bytes.

    Exact, so that one entry has one spelling and a change is found in its line, not only in its batch.
    """
    entry: Entry = _decode(_ENTRY, line)
    if _ENCODER.encode(entry) != line:
        raise SignatureRejected("not the canonical form of an entry")
    return entry


def parse_header_line(line: bytes) -> str:
    """The JWS in a segment's first line; raises `SignatureRejected`."""
    token: str = _decode(_HEADER_LINE, line).header
    if header_line(token) != line + b"\n":
        raise SignatureRejected("not the canonical form of a header line")
    return token


def parse_head_line(line: bytes) -> str:
    """The JWS in the line that ends a batch; raises `SignatureRejected`."""
    token: str = _decode(_HEAD_LINE, line).head
    if head_line(token) != line + b"\n":
        raise SignatureRejected("not the canonical form of a head line")
    return token


def parse_header(payload: bytes) -> Header:
    """The header in a JWS payload; raises `SignatureRejected`."""
    header: Header = _decode(msgspec.json.Decoder(Header), payload)
    if header.format != FORMAT:
        raise SignatureRejected(f"not a {FORMAT} journal")
    return header


def parse_head(payload: bytes) -> Head:
    """The head in a JWS payload; raises `SignatureRejected`."""
    head: Head = _decode(msgspec.json.Decoder(Head), payload)
    if head.first < 0 or head.size < 1:
        raise SignatureRejected("a head's numbers are out of range")
    return head


def unverified_payload(token: str) -> bytes:
    """Payload of a compact JWS whose signature was *not* checked: to find one's way, never to trust."""
    parts = token.split(".")
    if len(parts) != 3:
        raise SignatureRejected("not a compact JWS")
    return b64u_decode(parts[1])


def instant(now: dt.datetime) -> str:
    """RFC 3339 in UTC with milliseconds."""
    return now.astimezone(dt.UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def journal_id(now: dt.datetime, entropy: bytes) -> str:
    """A UUIDv7 (RFC 9562 §5.7) from an instant and 10 random bytes."""
    milliseconds = int(now.timestamp() * 1000)
    value = (milliseconds & (1 << 48) - 1) << 80 | int.from_bytes(entropy[:10], "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=value))


def _decode(decoder: msgspec.json.Decoder[Any], data: bytes) -> Any:
    try:
        return decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        # The decoder's own message could quote the line.
        raise SignatureRejected("not the fields this line must have") from error
