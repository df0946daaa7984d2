"""More named forgeries: signatures by keys, hashes and forms that only a careless reader takes for the client's own.

Importing this completes `FORGERIES`.
"""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Callable
from functools import cache
from hashlib import sha256, sha384, sha512
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, HashAlgorithm

from tests.unit.access.forge import MISSING, Bench, b64, sign
from tests.unit.access.forgeries import (
    ED25519_ORDER,
    FORGERIES,
    P256_ORDER,
    each,
    ec_numbers,
    ec_raw,
    forgery,
    hmac_with,
    public_pem,
    public_raw,
    signature_of,
    with_raw,
    with_signature,
)

__all__ = ["FORGERIES"]

P256_FIELD: Final = 2**256 - 2**224 + 2**192 + 2**96 - 1
#: The neutral point of Ed25519, as bytes.
NEUTRAL: Final = b"\1" + bytes(31)


def signed_by(bench: Bench, header: dict[str, Any], signer: Callable[[bytes], bytes], **claims: Any) -> str:
    """A token over good claims, signed in some other way."""
    signed = f"{b64(json.dumps(header))}.{b64(json.dumps(bench.claims(**claims)))}"
    return f"{signed}.{b64(signer(signed.encode()))}"


@cache
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def ecdsa(key: ec.EllipticCurvePrivateKey, digest: HashAlgorithm, size: int) -> Callable[[bytes], bytes]:
    def raw(data: bytes) -> bytes:
        return b"".join(
            number.to_bytes(size, "big") for number in decode_dss_signature(key.sign(data, ec.ECDSA(digest)))
        )

    return raw


def owner_ec(bench: Bench) -> ec.EllipticCurvePrivateKey:
    key = bench.owner_ec.key
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


# --- ECDSA -------------------------------------------------------------------------------------------------------


def ec_with(change: Callable[[int, int], tuple[int, int]]) -> Callable[[Bench], str]:
    def bend(bench: Bench) -> str:
        token, r, s = ec_numbers(bench)
        return with_signature(token, ec_raw(*change(r, s)))

    return bend


@forgery
def signature_by_the_mirrored_key(bench: Bench) -> str:
    """Its point has the owner's x: a reader that compares x alone takes it."""
    scalar = owner_ec(bench).private_numbers().private_value
    mirrored = ec.derive_private_key(P256_ORDER - scalar, ec.SECP256R1())
    return signed_by(bench, bench.header(bench.owner_ec), ecdsa(mirrored, SHA256(), 32))


@forgery
def signature_in_der_with_the_length_of_raw(bench: Bench) -> str:
    token, r, s = ec_numbers(bench)
    der = b"\x30\x3c\x02\x1c" + r.to_bytes(32, "big")[:28] + b"\x02\x1c" + s.to_bytes(32, "big")[:28] + b"\0\0"
    return with_signature(token, der)


each(
    signature_with_r_zero=ec_with(lambda _, s: (0, s)),
    signature_with_r_one_and_s_one=ec_with(lambda *_: (1, 1)),
    signature_with_r_at_the_order=ec_with(lambda _, s: (P256_ORDER, s)),
    signature_with_s_at_the_order=ec_with(lambda r, _: (r, P256_ORDER)),
    signature_with_r_negated=ec_with(lambda r, s: (P256_ORDER - r, s)),
    signature_with_r_and_s_at_the_field=ec_with(lambda *_: (P256_FIELD, P256_FIELD)),
    signature_with_all_bits_set=ec_with(lambda *_: (2**256 - 1, 2**256 - 1)),
    signature_of_r_alone=lambda b: with_signature(b.token(b.owner_ec), signature_of(b.token(b.owner_ec))[:32]),
    signature_of_p384=lambda b: signed_by(
        b, b.header(b.owner_ec), ecdsa(ec.generate_private_key(ec.SECP384R1()), SHA256(), 48)
    ),
    signature_of_secp256k1=lambda b: signed_by(
        b, b.header(b.owner_ec), ecdsa(ec.generate_private_key(ec.SECP256K1()), SHA256(), 32)
    ),
    signature_over_sha384=lambda b: signed_by(b, b.header(b.owner_ec), ecdsa(owner_ec(b), SHA384(), 32)),
    signature_over_sha512=lambda b: signed_by(b, b.header(b.owner_ec), ecdsa(owner_ec(b), SHA512(), 32)),
    signature_over_the_digest_of_the_digest=lambda b: signed_by(
        b, b.header(b.owner_ec), lambda data: sign(b.owner_ec, sha256(data).digest())
    ),
)

# --- EdDSA -------------------------------------------------------------------------------------------------------


@forgery
def signature_eddsa_with_s_plus_eight_orders(bench: Bench) -> str:
    token = bench.token()
    raw = signature_of(token)
    s = (int.from_bytes(raw[32:], "little") + 8 * ED25519_ORDER) % 2**256
    return with_signature(token, raw[:32] + s.to_bytes(32, "little"))


each(
    signature_of_the_neutral_point=lambda b: with_signature(b.token(), NEUTRAL + bytes(32)),
    signature_of_the_public_key=lambda b: with_signature(b.token(), public_raw(b) + bytes(32)),
    signature_eddsa_with_s_negated=lambda b: with_signature(
        b.token(),
        signature_of(b.token())[:32]
        + (ED25519_ORDER - int.from_bytes(signature_of(b.token())[32:], "little")).to_bytes(32, "little"),
    ),
    signature_eddsa_with_r_and_s_swapped=lambda b: with_signature(
        b.token(), signature_of(b.token())[32:] + signature_of(b.token())[:32]
    ),
    signature_eddsa_over_a_digest=lambda b: signed_by(b, b.header(), lambda data: sign(b.owner, sha512(data).digest())),
    signature_of_ed448=lambda b: signed_by(b, b.header(), Ed448PrivateKey.generate().sign),
    signature_of_ed448_without_kid=lambda b: signed_by(b, b.header(kid=MISSING), Ed448PrivateKey.generate().sign),
    signature_twice=lambda b: with_signature(b.token(), signature_of(b.token()) * 2),
    signature_after_zeros=lambda b: with_signature(b.token(), bytes(32) + signature_of(b.token())),
    signature_in_hexadecimal=lambda b: with_signature(b.token(), signature_of(b.token()).hex().encode()),
    signature_in_base64_twice=lambda b: with_signature(b.token(), base64.b64encode(signature_of(b.token()))),
)

# --- other kinds of keys -----------------------------------------------------------------------------------------

each(
    rs256_by_a_key_of_the_forger=lambda b: signed_by(
        b, b.header(alg="RS256"), lambda data: rsa_key().sign(data, padding.PKCS1v15(), SHA256())
    ),
    rs256_under_eddsa=lambda b: signed_by(
        b, b.header(), lambda data: rsa_key().sign(data, padding.PKCS1v15(), SHA256())
    ),
    ps256_by_a_key_of_the_forger=lambda b: signed_by(
        b,
        b.header(alg="PS256"),
        lambda data: rsa_key().sign(data, padding.PSS(padding.MGF1(SHA256()), 32), SHA256()),
    ),
    hs384_with_the_public_key_as_pem=lambda b: signed_by(
        b, b.header(alg="HS384"), lambda data: hmac.digest(public_pem(b), data, sha384)
    ),
    hs512_with_the_public_key_as_pem=lambda b: signed_by(
        b, b.header(alg="HS512"), lambda data: hmac.digest(public_pem(b), data, sha512)
    ),
    hs256_with_the_kid_as_secret=lambda b: hmac_with(b, b.owner.kid.encode()),
    hs256_with_the_client_id_as_secret=lambda b: hmac_with(b, b"pharmacy-a"),
    hmac_under_eddsa=lambda b: signed_by(b, b.header(), lambda data: hmac.digest(public_raw(b), data, sha512)),
    digest_under_eddsa=lambda b: signed_by(b, b.header(), lambda data: sha512(data).digest()),
    digest_under_es256=lambda b: signed_by(b, b.header(b.owner_ec), lambda data: sha512(data).digest()),
    **{
        f"alg_{name.replace('+', '_').replace(' ', '_space_').lower()}": lambda b, name=name: b.token(
            header={"alg": name}
        )
        for name in ("ES256K", "ES512", "Ed448", "A128KW", "dir", "ECDH-ES", "PBES2-HS256+A128KW", " EdDSA", "EDDSA")
    },
    alg_followed_by_nul=lambda b: b.token(header={"alg": "EdDSA\0none"}),
)

# --- what the header may not say ---------------------------------------------------------------------------------

each(
    **{
        f"header_{name}": lambda b, name=name, value=value: b.token(header={name: value})
        for name, value in {
            "p2c": 2_147_483_647,
            "p2s": "AAAA",
            "epk": {"kty": "OKP", "crv": "X25519", "x": "A" * 43},
            "apu": "AAAA",
            "x5t#S256": "A" * 43,
            "url": "https://attacker.example/",
            "nonce": "1",
            "ppt": "shaken",
            "svt": ["a"],
            "trust_chain": ["a"],
            "client_id": "pharmacy-b",
            "ALG": "none",
            "Kid": "x",
            "__proto__": {"alg": "none"},
        }.items()
    },
    typ_in_title_case=lambda b: b.token(header={"typ": "Jwt"}),
    typ_as_a_media_type=lambda b: b.token(header={"typ": "application/JWT"}),
    typ_of_a_receipt=lambda b: b.token(header={"typ": "relais-head+jws"}),
    typ_of_a_proof_of_possession=lambda b: b.token(header={"typ": "dpop+jwt"}),
    kid_object=lambda b: b.token(header={"kid": {"$ne": ""}}),
    kid_list=lambda b: b.token(header={"kid": [b.owner.kid]}),
    kid_with_newline=lambda b: b.token(header={"kid": b.owner.kid + "\n"}),
    kid_with_nul=lambda b: b.token(header={"kid": b.owner.kid + "\0"}),
    kid_in_upper_case=lambda b: b.token(header={"kid": b.owner.kid.upper() + "_"}),
    kid_padded=lambda b: b.token(header={"kid": b.owner.kid + "="}),
    kid_address=lambda b: b.token(header={"kid": "http://169.254.169.254/latest/keys"}),
    kid_command=lambda b: b.token(header={"kid": "x; cat /etc/passwd |"}),
    kid_device=lambda b: b.token(header={"kid": "/dev/null"}),
    kid_of_a_dummy=lambda b: b.token(header={"kid": "__dummy__"}),
    kid_very_long=lambda b: b.token(header={"kid": "k" * 2500}),
)


@forgery
def header_crit_names_b64_over_an_unencoded_payload(bench: Bench) -> str:
    """RFC 7797: signed over the claims as they are, and a payload that is not there."""
    head = b64(json.dumps(bench.header(b64=False, crit=["b64"])))
    signature = sign(bench.owner, f"{head}.".encode() + json.dumps(bench.claims()).encode())
    return f"{head}..{b64(signature)}"


# --- claims and forms --------------------------------------------------------------------------------------------


@forgery
def encrypted_token(bench: Bench) -> str:
    """A JWE (RFC 7516) of five parts, its content in the clear."""
    head = b64(json.dumps({"alg": "dir", "enc": "A256GCM", "cty": "JWT", "kid": bench.owner.kid}))
    return ".".join([head, "", b64(bytes(12)), b64(bench.token()), b64(bytes(16))])


@forgery
def detached_payload(bench: Bench) -> str:
    """RFC 7515, appendix F: the payload travels apart, here not at all."""
    head, _, signature = bench.token().split(".")
    return f"{head}..{signature}"


@forgery
def nested_in_a_header(bench: Bench) -> str:
    return bench.token(header={"typ": "JWT", "jwt": bench.token()})


each(
    iat_and_exp_of_400_digits=lambda b: b.raw_claims(
        json.dumps(b.claims(iat="@", exp="#")).replace('"@"', "9" * 399 + "0").replace('"#"', "9" * 399 + "5")
    ),
    iat_and_exp_beyond_2_63=lambda b: b.token(iat=2**63, exp=2**63 + 300),
    exp_hexadecimal=lambda b: with_raw(b, "exp", hex(b.at + 300)),
    exp_with_a_leading_zero=lambda b: with_raw(b, "exp", f"0{b.at + 300}"),
    exp_with_a_plus_sign=lambda b: with_raw(b, "exp", f"+{b.at + 300}"),
    exp_with_underscores=lambda b: with_raw(b, "exp", f"{b.at + 300:_}"),
    exp_minus_infinity=lambda b: with_raw(b, "exp", "-Infinity"),
    exp_as_a_date=lambda b: b.token(exp="2099-01-01T00:00:00Z"),
    exp_in_milliseconds=lambda b: b.token(exp=(b.at + 300) * 1000),
    iat_in_milliseconds=lambda b: b.token(iat=b.at * 1000, exp=(b.at + 300) * 1000),
    nbf_after_exp=lambda b: b.token(nbf=b.at + 301),
    aud_with_a_trailing_space=lambda b: b.token(aud=b.audience + " "),
    aud_number=lambda b: b.token(aud=0),
    aud_as_an_address=lambda b: b.token(aud=f"https://{b.audience}/"),
    iss_with_a_header=lambda b: b.token(iss="pharmacy-a\r\nX-Injected: 1", sub="pharmacy-a\r\nX-Injected: 1"),
    iss_with_nul=lambda b: b.token(iss="pharmacy-a\0", sub="pharmacy-a\0"),
    iss_path=lambda b: b.token(iss="../pharmacy-a", sub="../pharmacy-a"),
    iss_query=lambda b: b.token(iss="' OR ''='", sub="' OR ''='"),
    iss_with_a_trailing_space=lambda b: b.token(iss="pharmacy-a ", sub="pharmacy-a "),
    iss_in_look_alike_letters=lambda b: b.token(iss="ph\u0430rmacy-a", sub="ph\u0430rmacy-a"),
    iss_prototype=lambda b: b.token(iss="__proto__", sub="__proto__"),
    iss_number=lambda b: b.token(iss=0, sub=0),
    iss_object=lambda b: b.token(iss={"id": "pharmacy-a"}, sub={"id": "pharmacy-a"}),
    jti_with_a_header=lambda b: b.token(jti="1\r\nSet-Cookie: a=b"),
    jti_with_an_escape=lambda b: b.token(jti="\x1b[2J"),
    jti_with_a_right_to_left_mark=lambda b: b.token(jti="a\u202eb"),
    jti_list=lambda b: b.token(jti=["j-1"]),
    claims_twice_once_escaped=lambda b: b.raw_claims('{"\\u0065xp":1,' + json.dumps(b.claims())[1:]),
    claims_of_a_number=lambda b: b.raw_claims("1"),
    claims_with_bom=lambda b: b.raw_claims(b"\xef\xbb\xbf" + json.dumps(b.claims()).encode()),
    claims_after_a_newline_of_json_lines=lambda b: b.raw_claims(json.dumps(b.claims()) + "\n" + json.dumps(b.claims())),
    claims_unclosed=lambda b: b.raw_claims(json.dumps(b.claims())[:-1]),
    claims_with_a_trailing_comma=lambda b: b.raw_claims(json.dumps(b.claims())[:-1] + ",}"),
    claims_in_single_quotes=lambda b: b.raw_claims(json.dumps(b.claims()).replace('"', "'")),
    token_in_base64=lambda b: b64(b.token()),
    token_reversed=lambda b: ".".join(reversed(b.token().split("."))),
    token_with_fragments_of_another=lambda b: ".".join(
        [*b.token().split(".")[:2], b.token(jti="j-2").rpartition(".")[2]]
    ),
    token_with_bearer_inside=lambda b: f"Bearer {b.token()}",
)
