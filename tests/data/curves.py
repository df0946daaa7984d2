"""Edwards25519 and P-256 in plain numbers, to make signatures that no library would: slow, and never for secrets."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Final, NamedTuple

# --- edwards25519 (RFC 8032 §5.1) --------------------------------------------------------------------------------

ED_P: Final = 2**255 - 19
ED_L: Final = 2**252 + 27742317777372353535851937790883648493
_D: Final = -121665 * pow(121666, -1, ED_P) % ED_P
_ROOT_OF_MINUS_ONE: Final = pow(2, (ED_P - 1) // 4, ED_P)


class EdPoint(NamedTuple):
    """An affine point of -x² + y² = 1 + d·x²·y²."""

    x: int
    y: int

    def __add__(self, other: EdPoint) -> EdPoint:  # type: ignore[override]
        product = _D * self.x * other.x * self.y * other.y
        x = (self.x * other.y + self.y * other.x) * pow(1 + product, -1, ED_P)
        y = (self.y * other.y + self.x * other.x) * pow(1 - product, -1, ED_P)
        return EdPoint(x % ED_P, y % ED_P)

    def __rmul__(self, factor: int) -> EdPoint:  # type: ignore[override]
        result, doubled = ED_NEUTRAL, self
        while factor:
            if factor & 1:
                result += doubled
            doubled, factor = doubled + doubled, factor >> 1
        return result

    def encode(self) -> bytes:
        """RFC 8032 §5.1.2."""
        return (self.y | (self.x & 1) << 255).to_bytes(32, "little")


ED_NEUTRAL: Final = EdPoint(0, 1)


def ed_point(y: int, sign: int = 0) -> EdPoint:
    """The point with this y and the parity `sign` of x (RFC 8032 §5.1.3). Raises `ValueError` where there is none."""
    square = (y * y - 1) * pow(_D * y * y + 1, -1, ED_P) % ED_P
    x = pow(square, (ED_P + 3) // 8, ED_P)
    if x * x % ED_P != square:
        x = x * _ROOT_OF_MINUS_ONE % ED_P
    if x * x % ED_P != square:
        raise ValueError("no point has this y")
    return EdPoint(x if x & 1 == sign else -x % ED_P, y)


ED_BASE: Final = ed_point(4 * pow(5, -1, ED_P) % ED_P)


@cache
def ed_torsion() -> EdPoint:
    """A point of order 8: L times a point that has all of the group's order."""
    for y in range(2, 100):
        try:
            point = ED_L * ed_point(y)
        except ValueError:
            continue
        if 4 * point != ED_NEUTRAL:
            return point
    raise AssertionError


class EdKey:
    """A key from a seed (RFC 8032 §5.1.5), whose public point may be moved by a point of small order."""

    def __init__(self, seed: bytes, moved_by: EdPoint = ED_NEUTRAL) -> None:
        digest = bytearray(hashlib.sha512(seed).digest())
        self.prefix = bytes(digest[32:])
        digest[0] &= 0xF8
        digest[31] = digest[31] & 0x7F | 0x40
        self.scalar = int.from_bytes(digest[:32], "little")
        self.public = (self.scalar * ED_BASE + moved_by).encode()

    def nonce(self, message: bytes) -> int:
        """The r of RFC 8032 §5.1.6."""
        return int.from_bytes(hashlib.sha512(self.prefix + message).digest(), "little") % ED_L

    def challenge(self, r_bytes: bytes, message: bytes) -> int:
        """The hash of the R that is sent, the key and the message."""
        return int.from_bytes(hashlib.sha512(r_bytes + self.public + message).digest(), "little") % ED_L

    def sign(self, message: bytes, nonce: int | None = None, r_bytes: bytes | None = None) -> bytes:
        """R and S; with another nonce, or over another spelling of R than its own."""
        r = self.nonce(message) if nonce is None else nonce
        sent = (r * ED_BASE).encode() if r_bytes is None else r_bytes
        return sent + ((r + self.challenge(sent, message) * self.scalar) % ED_L).to_bytes(32, "little")


# --- P-256 (FIPS 186-5, SP 800-186) ------------------------------------------------------------------------------

EC_P: Final = 2**256 - 2**224 + 2**192 + 2**96 - 1
EC_N: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_EC_B: Final = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B


class EcPoint(NamedTuple):
    """An affine point of y² = x³ - 3x + b; the point at infinity is `INFINITY`."""

    x: int
    y: int

    def __add__(self, other: EcPoint) -> EcPoint:  # type: ignore[override]
        if INFINITY in (self, other):
            return other if self == INFINITY else self
        if self.x == other.x and (self.y + other.y) % EC_P == 0:
            return INFINITY
        if self == other:
            slope = (3 * self.x * self.x - 3) * pow(2 * self.y, -1, EC_P)
        else:
            slope = (other.y - self.y) * pow(other.x - self.x, -1, EC_P)
        x = (slope * slope - self.x - other.x) % EC_P
        return EcPoint(x, (slope * (self.x - x) - self.y) % EC_P)

    def __rmul__(self, factor: int) -> EcPoint:  # type: ignore[override]
        result, doubled, factor = INFINITY, self, factor % EC_N
        while factor:
            if factor & 1:
                result += doubled
            doubled, factor = doubled + doubled, factor >> 1
        return result


INFINITY: Final = EcPoint(-1, -1)
EC_BASE: Final = EcPoint(
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)


def ec_point(x: int) -> EcPoint:
    """A point with this x. Raises `ValueError` where there is none."""
    square = (x**3 - 3 * x + _EC_B) % EC_P
    y = pow(square, (EC_P + 1) // 4, EC_P)
    if y * y % EC_P != square:
        raise ValueError("no point has this x")
    return EcPoint(x, y)


def hashed(message: bytes) -> int:
    """The number that ECDSA with SHA-256 signs."""
    return int.from_bytes(hashlib.sha256(message).digest(), "big")


@cache
def ec_public(secret: int) -> EcPoint:
    """The public point of a secret number."""
    return secret * EC_BASE


@cache
def ec_sign(secret: int, message: bytes) -> tuple[int, int]:
    """r and s with a nonce that the secret and the message determine."""
    nonce = int.from_bytes(hashlib.sha512(b"%d " % secret + message).digest(), "big") % EC_N
    r = (nonce * EC_BASE).x % EC_N
    return r, (hashed(message) + r * secret) * pow(nonce, -1, EC_N) % EC_N


def ec_key_for(message: bytes, point: EcPoint, s: int) -> EcPoint:
    """The public key under which (x of `point`, s) is a signature of the message (SEC 1 §4.1.6)."""
    r = point.x % EC_N
    return pow(r, -1, EC_N) * (s * point + (-hashed(message) % EC_N) * EC_BASE)
