"""ECDSA signatures on P-256 with SHA-256, good and bad, by Wycheproof's classes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Final

from service.base64url import b64u
from tests.data.curves import EC_BASE, EC_N, EC_P, EcPoint, ec_key_for, ec_point, ec_public, ec_sign, hashed
from tests.data.signature_inputs import Case, Signed, search, signing_input

EC_SECRET: Final = int.from_bytes(hashlib.sha256(b"relais-droits signature vectors").digest(), "big")


def ec_jwk(point: EcPoint) -> dict[str, str]:
    x, y = (b64u(number.to_bytes(32, "big")) for number in point)
    return {"kty": "EC", "crv": "P-256", "x": x, "y": y}


def pair(r: int, s: int, size: int = 32) -> bytes:
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")


def ecdsa(
    group: str, name: str, change: Callable[[int, int], bytes], *, secret: int = EC_SECRET, valid: bool = False
) -> Case:
    def make(purpose: str) -> Signed:
        message = signing_input(purpose, "ES256")
        return Signed(ec_jwk(ec_public(secret)), message, change(*ec_sign(secret, message.encode("ascii"))))

    return Case(group, name, valid, make)


def ec_recovered(
    group: str, name: str, choose: Callable[[bytes], tuple[EcPoint, int]], size: int = 32, *, valid: bool = True
) -> Case:
    """R and s are chosen, and the key is the one that fits them."""

    def make(purpose: str) -> Signed:
        message = signing_input(purpose, "ES256")
        point, s = choose(message.encode("ascii"))
        key = ec_key_for(message.encode("ascii"), point, s)
        return Signed(ec_jwk(key), message, pair(point.x % EC_N, s, size))

    return Case(group, name, valid, make)


def ec_cases() -> Iterator[Case]:
    yield ecdsa("ValidSignature", "as FIPS 186-5 has it", pair, valid=True)
    yield ecdsa("ValidSignature", "signature malleability: n - s", lambda r, s: pair(r, EC_N - s), valid=True)
    for name, add in {"n": EC_N, "256 n": 256 * EC_N}.items():
        yield ecdsa("RangeCheck", f"r + {name}", lambda r, s, add=add: pair(r + add, s, 34))
        yield ecdsa("RangeCheck", f"s + {name}", lambda r, s, add=add: pair(r, s + add, 34))
    yield ecdsa("RangeCheck", "r - n in two's complement", lambda r, s: pair(2**256 + r - EC_N, s))
    yield ecdsa("RangeCheck", "s - n in two's complement", lambda r, s: pair(r, 2**256 + s - EC_N))
    yield ecdsa("ModifiedInteger", "n - r", lambda r, s: pair(EC_N - r, s))
    yield ecdsa("ModifiedInteger", "p - r", lambda r, s: pair(EC_P - r, s))
    yield ecdsa("ModifiedInteger", "r and s exchanged", lambda r, s: pair(s, r))
    yield ecdsa("ModifiedInteger", "s + 1", lambda r, s: pair(r, s + 1))
    yield ecdsa("ModifiedInteger", "1 / s", lambda r, s: pair(r, pow(s, -1, EC_N)))
    for bits in (256, 320):
        yield ecdsa("IntegerOverflow", f"r + 2^{bits}", lambda r, s, b=bits: pair(r + 2**b, s, b // 8 + 1))
        yield ecdsa("IntegerOverflow", f"s + 2^{bits}", lambda r, s, b=bits: pair(r, s + 2**b, b // 8 + 1))
    edges = {"0": 0, "1": 1, "n - 1": EC_N - 1, "n": EC_N, "n + 1": EC_N + 1, "p": EC_P, "p + 1": EC_P + 1}
    for r_name, r in edges.items():
        for s_name, s in edges.items():
            yield ecdsa("InvalidSignature", f"r = {r_name}, s = {s_name}", lambda _r, _s, r=r, s=s: pair(r, s))
    for name, secret in {"G": 1, "2 G": 2, "3 G": 3, "-2 G": EC_N - 2}.items():
        yield ecdsa("EdgeCasePublicKey", f"the key is {name}", pair, secret=secret, valid=True)
    yield ecdsa("EdgeCasePublicKey", "x of the key begins with zeros", pair, secret=small_x_secret(), valid=True)
    yield ecdsa("EdgeCaseShamirMultiplication", "G + Q is infinity", pair, secret=EC_N - 1, valid=True)
    yield from ec_chosen_cases()
    yield from ec_hash_cases()


def small_x_secret() -> int:
    """A secret whose public x has a leading byte of zero."""
    point, secret = EC_BASE, 1
    while point.x >> 248:
        point, secret = point + EC_BASE, secret + 1
    return secret


def small_point() -> EcPoint:
    """The point with the smallest x above 0 that there is."""
    for x in range(1, 100):
        try:
            return ec_point(x)
        except ValueError:
            continue
    raise AssertionError


def ec_chosen_cases() -> Iterator[Case]:
    small = small_point()
    for s in (1, 2, 255, 65_537):
        yield ec_recovered("SmallRandS", f"r small, s = {s}", lambda _, s=s: (small, s))
    yield ec_recovered("SmallRandS", "r small, s = n - 1", lambda _: (small, EC_N - 1))
    for size in (1, 2, 16, 31):
        yield ec_recovered("SignatureSize", f"r and s in {size} bytes", lambda _: (small, 2), size, valid=False)
    for size in (33, 48, 66):
        yield ec_recovered("SignatureSize", f"r and s in {size} bytes", lambda _: (small, 2), size, valid=False)
    some = 12_345 * EC_BASE
    inverses = {"2": 2, "2^128": 2**128, "n - 2": EC_N - 2, "all limbs full": 2**255 - 1, "a power": 2**224 - 1}
    for name, inverse in inverses.items():
        s = pow(inverse, -1, EC_N)
        yield ec_recovered("ModularInverse", f"1 / s is {name}", lambda _, s=s: (some, s))
    for name, u in {"1": 1, "2": 2, "n - 1": EC_N - 1, "2^255": 2**255, "2^32 - 1": 2**32 - 1}.items():
        yield ec_recovered(
            "ArithmeticError", f"u1 is {name}", lambda raw, u=u: (some, hashed(raw) * pow(u, -1, EC_N) % EC_N)
        )
        yield ec_recovered("ArithmeticError", f"u2 is {name}", lambda _, u=u: (some, some.x * pow(u, -1, EC_N) % EC_N))

    def duplication(purpose: str) -> Signed:
        """u1 G = u2 Q: the sum of the two is a doubling."""
        message = signing_input(purpose, "ES256")
        e, r = hashed(message.encode("ascii")), some.x % EC_N
        key = (e * pow(r, -1, EC_N)) * EC_BASE
        return Signed(ec_jwk(key), message, pair(r, 2 * e * pow(12_345, -1, EC_N) % EC_N))

    def infinity(purpose: str) -> Signed:
        """u1 G = -u2 Q: the sum of the two is no point that has an x."""
        message = signing_input(purpose, "ES256")
        e, r = hashed(message.encode("ascii")), some.x % EC_N
        return Signed(ec_jwk((-e * pow(r, -1, EC_N)) * EC_BASE), message, pair(r, 7))

    yield Case("PointDuplication", "u1 G = u2 Q", True, duplication)
    yield Case("PointDuplication", "u1 G = -u2 Q", False, infinity)


def ec_hash_cases() -> Iterator[Case]:
    fits: dict[str, Callable[[int], bool]] = {
        "begins with 14 zeros": lambda e: e >> 242 == 0,
        "begins with 14 ones": lambda e: e >> 242 == 2**14 - 1,
        "ends with 14 zeros": lambda e: e % 2**14 == 0,
        "ends with 14 ones": lambda e: e % 2**14 == 2**14 - 1,
        "has 14 zeros in the middle": lambda e: (e >> 121) % 2**14 == 0,
    }
    for name, holds in fits.items():

        def make(purpose: str, holds: Callable[[int], bool] = holds) -> Signed:
            message = search(purpose, "ES256", lambda raw: holds(hashed(raw)))
            return Signed(ec_jwk(ec_public(EC_SECRET)), message, pair(*ec_sign(EC_SECRET, message.encode("ascii"))))

        yield Case("SpecialCaseHash", f"the hash {name}", True, make)
