"""Base64url without padding (RFC 7515 §2), the form of every hash, key and signature we publish. Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib

from service.errors import SignatureRejected


def b64u(data: bytes) -> str:
    """Bytes in base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def b64u_decode(text: str) -> bytes:
    """The bytes behind canonical, unpadded base64url; raises `SignatureRejected` for any other spelling.

    Strict, because a lenient decoder lets one signature have many spellings.
    """
    try:
        raw = text.encode("ascii")
        data = base64.urlsafe_b64decode(raw + b"=" * (-len(raw) % 4))
    except (UnicodeEncodeError, binascii.Error, ValueError) as error:
        raise SignatureRejected("not base64url") from error
    # What the decoder let pass of another alphabet, it dropped: it is not there when the bytes are written again.
    if b64u(data) != text:
        raise SignatureRejected("not canonical base64url without padding")
    return data


def sha256_b64u(data: bytes) -> str:
    """SHA-256 of bytes, in base64url."""
    return b64u(hashlib.sha256(data).digest())
