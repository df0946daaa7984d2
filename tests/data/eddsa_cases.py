"""Ed25519 signatures, good and bad, by Wycheproof's classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from service.base64url import b64u
from tests.data.curves import ED_BASE, ED_L, ED_NEUTRAL, ED_P, EdKey, ed_torsion
from tests.data.signature_inputs import Case, Signed, search, signing_input

SEED: Final = bytes([41]) * 32
ED: Final = EdKey(SEED)
#: Not a key of small order, yet not of the large order alone: 8 and the cofactor decide whether verifiers agree.
ED_MIXED: Final = EdKey(bytes([43]) * 32, ed_torsion())


def ed_jwk(key: EdKey) -> dict[str, str]:
    return {"kty": "OKP", "crv": "Ed25519", "x": b64u(key.public)}


@cache
def honest(message: bytes) -> bytes:
    """The signature as it should be."""
    return ED.sign(message)


def ed(group: str, name: str, change: Callable[[bytes, bytes], bytes], *, valid: bool = False) -> Case:
    """`change` makes the signature out of the message and its true signature."""

    def make(purpose: str) -> Signed:
        message = signing_input(purpose, "EdDSA")
        raw = message.encode("ascii")
        return Signed(ed_jwk(ED), message, change(raw, honest(raw)))

    return Case(group, name, valid, make)


def with_s(add: Callable[[int], int]) -> Callable[[bytes, bytes], bytes]:
    return lambda _, good: good[:32] + (add(int.from_bytes(good[32:], "little")) % 2**256).to_bytes(32, "little")


def over_r(r_bytes: Callable[[bytes], bytes]) -> Callable[[bytes, bytes], bytes]:
    """R spelt otherwise, and S made for that spelling: the R that a verifier works out is still the honest one."""
    return lambda message, good: ED.sign(message, ED.nonce(message), r_bytes(good[:32]))


def ed_searched(group: str, name: str, fits: Callable[[bytes], bool], change: Callable[[bytes], bytes]) -> Case:
    def make(purpose: str) -> Signed:
        # Many are made, so by the library: they are the same bytes.
        library = Ed25519PrivateKey.from_private_bytes(SEED)
        message = search(purpose, "EdDSA", lambda raw: fits(library.sign(raw)))
        return Signed(ed_jwk(ED), message, change(ED.sign(message.encode("ascii"))))

    return Case(group, name, False, make)


def ed_cases() -> Iterator[Case]:
    yield ed("Valid", "as RFC 8032 has it", lambda _, good: good, valid=True)
    edges = {"0": 0, "1": 1, "L - 1": ED_L - 1, "L": ED_L, "p - 1": ED_P - 1, "p": ED_P, "2^255 - 1": 2**255 - 1}
    for r_name, r in edges.items():
        for s_name, s in edges.items():
            raw = r.to_bytes(32, "little") + s.to_bytes(32, "little")
            yield ed("InvalidSignature", f"R = {r_name}, S = {s_name}", lambda _m, _g, raw=raw: raw)
    yield ed("InvalidSignature", "R = A, S = 0", lambda _m, _g: ED.public + bytes(32))
    yield ed("InvalidSignature", "R = B, S = 1", lambda _m, _g: ED_BASE.encode() + (1).to_bytes(32, "little"))
    yield ed("InvalidSignature", "of another message", lambda message, _: ED.sign(message + b"."))
    for name, multiple in {"L": 1, "2 L": 2, "4 L": 4, "8 L": 8, "14 L": 14}.items():
        yield ed("SignatureMalleability", f"S + {name}", with_s(lambda s, m=multiple: s + m * ED_L))
    for bit in (253, 254, 255):
        yield ed("SignatureMalleability", f"bit {bit} of S set", with_s(lambda s, b=bit: s | 1 << b))
    yield ed("SignatureMalleability", "L - S", with_s(lambda s: ED_L - s))
    for name, garbage in {"a zero byte": b"\0", "a byte": b"\x2a", "the signature": ED.public, "64": bytes(64)}.items():
        yield ed("SignatureWithGarbage", f"{name} after it", lambda _, good, g=garbage: good + g)
        yield ed("SignatureWithGarbage", f"{name} before it", lambda _, good, g=garbage: g + good)
    for size in (0, 1, 31, 32, 33, 48, 62, 63):
        yield ed("TruncatedSignature", f"{size} bytes", lambda _, good, size=size: good[:size])
    yield ed("TruncatedSignature", "S alone", lambda _, good: good[32:])
    yield ed_searched("CompressedSignature", "the last byte, 0, cut off", lambda g: g[-1] == 0, lambda g: g[:-1])
    yield ed_searched(
        "CompressedSignature", "R and S share a byte", lambda g: g[31] == g[32], lambda g: g[:32] + g[33:]
    )
    yield ed("InvalidEncoding", "the sign of R turned", over_r(lambda r: r[:31] + bytes([r[31] ^ 0x80])))
    yield ed("InvalidEncoding", "a bit of R turned", over_r(lambda r: bytes([r[0] ^ 1]) + r[1:]))
    yield ed("InvalidEncoding", "R in big-endian order", over_r(lambda r: r[::-1]))
    for name, spelling in {
        "the neutral R with y = p + 1": (ED_P + 1).to_bytes(32, "little"),
        "the neutral R with a sign": (1 | 1 << 255).to_bytes(32, "little"),
        "the neutral R with y = p + 1 and a sign": (ED_P + 1 | 1 << 255).to_bytes(32, "little"),
    }.items():
        yield ed("InvalidEncoding", name, lambda message, _, s=spelling: ED.sign(message, 0, s))
    yield ed("InvalidEncoding", "S in big-endian order", lambda _, good: good[:32] + good[:31:-1])
    yield from ed_cofactor_cases()


def ed_cofactor_cases() -> Iterator[Case]:
    """Where RFC 8032 lets verifiers choose: ours checks the equation without the cofactor."""

    def by_mixed_key(remainder: bool) -> Callable[[str], Signed]:  # noqa: FBT001
        def make(purpose: str) -> Signed:
            def fits(raw: bytes) -> bool:
                return (ED_MIXED.challenge(ED_MIXED.sign(raw)[:32], raw) % 8 != 0) is remainder

            message = search(purpose, "EdDSA", fits)
            return Signed(ed_jwk(ED_MIXED), message, ED_MIXED.sign(message.encode("ascii")))

        return make

    yield Case("Ours: cofactor", "a key of mixed order, the hash a multiple of 8", True, by_mixed_key(False))
    yield Case("Ours: cofactor", "a key of mixed order, the hash none", False, by_mixed_key(True))

    def moved(message: bytes, _: bytes) -> bytes:
        nonce = ED.nonce(message)
        return ED.sign(message, nonce, (nonce * ED_BASE + ed_torsion()).encode())

    yield ed("Ours: cofactor", "R moved by a point of order 8", moved)
    yield ed("Ours: cofactor", "R of order 8, S for the key alone", lambda m, _: ED.sign(m, 0, ed_torsion().encode()))
    yield ed("Ours: cofactor", "R neutral", lambda m, _: ED.sign(m, 0, ED_NEUTRAL.encode()), valid=True)
