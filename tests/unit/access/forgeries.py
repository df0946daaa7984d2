"""Named forgeries: each is a function of the bench, refused as `TokenInvalid`."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from service.base64url import b64u_decode
from tests.unit.access.forge import MISSING, Bench, b64, sign

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493

Forgery = Callable[[Bench], str]
FORGERIES: dict[str, Forgery] = {}


def forgery(make: Forgery) -> Forgery:
    each(**{make.__name__: make})
    return make


def each(**makers: Forgery) -> None:
    assert not FORGERIES.keys() & makers.keys()
    FORGERIES.update(makers)


# --- algorithm ---------------------------------------------------------------------------------------------------


def unsigned(bench: Bench, alg: str) -> str:
    return f"{b64(json.dumps(bench.header(alg=alg)))}.{b64(json.dumps(bench.claims()))}."


def hmac_with(bench: Bench, secret: bytes) -> str:
    signed = f"{b64(json.dumps(bench.header(alg='HS256')))}.{b64(json.dumps(bench.claims()))}"
    return f"{signed}.{b64(hmac.digest(secret, signed.encode(), sha256))}"


def public_pem(bench: Bench) -> bytes:
    return bench.owner.public.key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def public_raw(bench: Bench) -> bytes:
    key = bench.owner.public.key
    assert isinstance(key, Ed25519PublicKey)
    return key.public_bytes_raw()


each(
    alg_none_without_signature=lambda b: unsigned(b, "none"),
    alg_none_with_the_true_signature=lambda b: b.token(header={"alg": "none"}),
    alg_none_in_mixed_case=lambda b: unsigned(b, "nOnE"),
    alg_hs256_with_the_public_key_as_pem=lambda b: hmac_with(b, public_pem(b)),
    alg_hs256_with_the_public_key_as_bytes=lambda b: hmac_with(b, public_raw(b)),
    alg_hs256_with_the_public_jwk=lambda b: hmac_with(b, json.dumps(dict(b.owner.public.jwk)).encode()),
    alg_hs256_with_an_empty_secret=lambda b: hmac_with(b, b""),
    alg_missing=lambda b: b.token(header={"alg": MISSING}),
    alg_null=lambda b: b.token(header={"alg": None}),
    alg_list=lambda b: b.token(header={"alg": ["EdDSA"]}),
    alg_empty=lambda b: b.token(header={"alg": ""}),
    alg_of_another_key_type=lambda b: b.token(header={"alg": "ES256"}),
    alg_eddsa_on_a_p256_key=lambda b: b.token(b.owner_ec, header={"alg": "EdDSA"}),
    alg_ed25519_by_its_newer_name=lambda b: b.token(header={"alg": "Ed25519"}),
    alg_es384=lambda b: b.token(b.owner_ec, header={"alg": "ES384"}),
    alg_rs256=lambda b: b.token(header={"alg": "RS256"}),
)

# --- signature ---------------------------------------------------------------------------------------------------


def with_signature(token: str, signature: bytes) -> str:
    return f"{token.rpartition('.')[0]}.{b64(signature)}"


def ec_numbers(bench: Bench) -> tuple[str, int, int]:
    token = bench.token(bench.owner_ec)
    raw = signature_of(token)
    return token, int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")


def signature_of(token: str) -> bytes:
    return b64u_decode(token.rpartition(".")[2])


def ec_raw(r: int, s: int) -> bytes:
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


@forgery
def signature_in_der(bench: Bench) -> str:
    token, r, s = ec_numbers(bench)
    return with_signature(token, encode_dss_signature(r, s))


@forgery
def signature_with_r_and_s_swapped(bench: Bench) -> str:
    token, r, s = ec_numbers(bench)
    return with_signature(token, ec_raw(s, r))


@forgery
def signature_with_s_zero(bench: Bench) -> str:
    token, r, _ = ec_numbers(bench)
    return with_signature(token, ec_raw(r, 0))


@forgery
def signature_with_r_and_s_at_the_order(bench: Bench) -> str:
    return with_signature(bench.token(bench.owner_ec), ec_raw(P256_ORDER, P256_ORDER))


@forgery
def signature_with_sha1_sized_numbers(bench: Bench) -> str:
    token, r, s = ec_numbers(bench)
    return with_signature(token, r.to_bytes(48, "big") + s.to_bytes(48, "big"))


@forgery
def signature_eddsa_with_s_plus_the_order(bench: Bench) -> str:
    token = bench.token()
    raw = signature_of(token)
    s = int.from_bytes(raw[32:], "little") + ED25519_ORDER
    return with_signature(token, raw[:32] + s.to_bytes(32, "little"))


@forgery
def signature_with_one_bit_flipped(bench: Bench) -> str:
    token = bench.token()
    raw = bytearray(signature_of(token))
    raw[10] ^= 1
    return with_signature(token, bytes(raw))


@forgery
def signature_over_other_claims(bench: Bench) -> str:
    head, _, signature = bench.token().split(".")
    return f"{head}.{b64(json.dumps(bench.claims(jti='j-2')))}.{signature}"


@forgery
def signature_over_another_header(bench: Bench) -> str:
    _, claims, signature = bench.token().split(".")
    return f"{b64(json.dumps(bench.header(kid=MISSING)))}.{claims}.{signature}"


@forgery
def signature_over_the_decoded_parts(bench: Bench) -> str:
    header, claims = json.dumps(bench.header()), json.dumps(bench.claims())
    key = bench.owner_ec.key
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return f"{b64(header)}.{b64(claims)}.{b64(key.sign(f'{header}.{claims}'.encode(), ec.ECDSA(SHA256())))}"


each(
    signature_all_zero_eddsa=lambda b: with_signature(b.token(), bytes(64)),
    signature_all_zero_es256=lambda b: with_signature(b.token(b.owner_ec), bytes(64)),
    signature_empty=lambda b: with_signature(b.token(), b""),
    signature_cut=lambda b: with_signature(b.token(), signature_of(b.token())[:-1]),
    signature_with_a_byte_more=lambda b: with_signature(b.token(), signature_of(b.token()) + b"\0"),
)

# --- key ---------------------------------------------------------------------------------------------------------

each(
    kid_of_another_client=lambda b: b.token(b.thief),
    kid_of_the_victim_signed_by_another_client=lambda b: b.token(b.thief, header={"kid": b.owner.kid}),
    kid_left_out_signed_by_another_client=lambda b: b.token(b.thief, header={"kid": MISSING}),
    kid_left_out_signed_by_a_stranger=lambda b: b.token(b.stranger, header={"kid": MISSING}),
    kid_unknown=lambda b: b.token(b.stranger),
    kid_of_the_clients_other_key=lambda b: b.token(header={"kid": b.owner_ec.kid}),
    kid_null=lambda b: b.token(header={"kid": None}),
    kid_number=lambda b: b.token(header={"kid": 0}),
    kid_empty=lambda b: b.token(header={"kid": ""}),
    kid_path=lambda b: b.token(header={"kid": "../../keys/pharmacy-a.jwk"}),
    kid_query=lambda b: b.token(header={"kid": "' OR 1=1 --"}),
    client_unknown=lambda b: b.token(b.stranger, iss="pharmacy-z", sub="pharmacy-z"),
    client_unknown_with_a_registered_key=lambda b: b.token(iss="pharmacy-z", sub="pharmacy-z"),
    client_another_with_own_key=lambda b: b.token(iss="pharmacy-b", sub="pharmacy-b"),
)

# --- header ------------------------------------------------------------------------------------------------------

each(
    header_jku=lambda b: b.token(header={"jku": "https://attacker.example/jwks.json"}),
    header_x5u=lambda b: b.token(header={"x5u": "https://attacker.example/cert.pem"}),
    header_jwk_of_the_signer=lambda b: b.token(b.stranger, header={"jwk": dict(b.stranger.public.jwk)}),
    header_jwk_of_the_owner=lambda b: b.token(header={"jwk": dict(b.owner.public.jwk)}),
    header_x5c=lambda b: b.token(header={"x5c": ["MIIB"]}),
    header_x5t=lambda b: b.token(header={"x5t": "AAAA"}),
    header_zip=lambda b: b.token(header={"zip": "DEF"}),
    header_crit_empty=lambda b: b.token(header={"crit": []}),
    header_crit_names_exp=lambda b: b.token(header={"crit": ["exp"], "exp": b.at + 300}),
    header_crit_unknown=lambda b: b.token(header={"crit": ["urn:x"], "urn:x": 1}),
    header_b64_false=lambda b: b.token(header={"b64": False, "crit": ["b64"]}),
    header_b64_true=lambda b: b.token(header={"b64": True}),
    header_cty=lambda b: b.token(header={"cty": "JWT"}),
    header_enc=lambda b: b.token(header={"enc": "A256GCM"}),
    header_iss_replicated=lambda b: b.token(header={"iss": "pharmacy-a"}),
    typ_missing=lambda b: b.token(header={"typ": MISSING}),
    typ_lower_case=lambda b: b.token(header={"typ": "jwt"}),
    typ_access_token=lambda b: b.token(header={"typ": "at+jwt"}),
    typ_of_an_order=lambda b: b.token(header={"typ": "relais-order+jws"}),
    typ_null=lambda b: b.token(header={"typ": None}),
    header_alg_twice=lambda b: b.raw_header(f'{{"alg":"none","alg":"EdDSA","kid":"{b.owner.kid}","typ":"JWT"}}'),
    header_kid_twice=lambda b: b.raw_header(
        f'{{"alg":"EdDSA","kid":"{b.thief.kid}","kid":"{b.owner.kid}","typ":"JWT"}}'
    ),
    header_kid_twice_once_escaped=lambda b: b.raw_header(
        f'{{"alg":"EdDSA","k\\u0069d":"{b.thief.kid}","kid":"{b.owner.kid}","typ":"JWT"}}'
    ),
    header_list=lambda b: b.raw_header(json.dumps([b.header()])),
    header_text=lambda b: b.raw_header('"EdDSA"'),
    header_not_json=lambda b: b.raw_header("{alg:EdDSA}"),
    header_with_trailing_data=lambda b: b.raw_header(json.dumps(b.header()) + "{}"),
    header_in_utf16=lambda b: b.raw_header(json.dumps(b.header()).encode("utf-16-le")),
    header_with_bom=lambda b: b.raw_header(b"\xef\xbb\xbf" + json.dumps(b.header()).encode()),
    header_invalid_utf8=lambda b: b.raw_header(b'{"alg":"EdDSA","typ":"JWT","kid":"\xff"}'),
    header_nested_deeply=lambda b: b.raw_header('{"alg":' + "[" * 1200 + "]" * 1200 + "}"),
)

# --- claims ------------------------------------------------------------------------------------------------------


def with_raw(bench: Bench, name: str, raw: str) -> str:
    """A claim whose JSON text no encoder would write."""
    text = json.dumps(bench.claims(**{name: "@"}))
    return bench.raw_claims(text.replace('"@"', raw))


def doubled(bench: Bench, name: str, first: str) -> str:
    return bench.raw_claims(f'{{"{name}":{first},' + json.dumps(bench.claims())[1:])


each(
    iss_differs_from_sub=lambda b: b.token(sub="pharmacy-b"),
    sub_differs_from_iss=lambda b: b.token(iss="pharmacy-b"),
    iss_missing=lambda b: b.token(iss=MISSING),
    sub_missing=lambda b: b.token(sub=MISSING),
    sub_null=lambda b: b.token(sub=None),
    iss_list=lambda b: b.token(iss=["pharmacy-a"]),
    iss_and_sub_list=lambda b: b.token(iss=["pharmacy-a"], sub=["pharmacy-a"]),
    iss_upper_case=lambda b: b.token(iss="PHARMACY-A", sub="PHARMACY-A"),
    iss_with_newline=lambda b: b.token(iss="pharmacy-a\n", sub="pharmacy-a\n"),
    iss_with_lone_surrogate=lambda b: b.raw_claims(
        json.dumps(b.claims(iss="pharmacy-a\ud800", sub="pharmacy-a\ud800"))
    ),
    iss_in_full_width=lambda b: b.token(iss="\uff50harmacy-a", sub="\uff50harmacy-a"),
    aud_missing=lambda b: b.token(aud=MISSING),
    aud_null=lambda b: b.token(aud=None),
    aud_list=lambda b: b.token(aud=[b.audience]),
    aud_list_of_both_servers=lambda b: b.token(aud=[b.audience, f"{b.audience}-admin"]),
    aud_of_the_other_server=lambda b: b.token(aud=f"{b.audience}-admin"),
    aud_in_other_case=lambda b: b.token(aud=b.audience.upper()),
    aud_prefix=lambda b: b.token(aud=b.audience[:-1]),
    aud_object=lambda b: b.token(aud={b.audience: True}),
    exp_missing=lambda b: b.token(exp=MISSING),
    exp_null=lambda b: b.token(exp=None),
    exp_text=lambda b: b.token(exp=str(b.at + 300)),
    exp_fraction=lambda b: b.token(exp=b.at + 300.5),
    exp_whole_float=lambda b: b.token(exp=float(b.at + 300)),
    exp_true=lambda b: b.token(exp=True),
    exp_1e400=lambda b: with_raw(b, "exp", "1e400"),
    exp_exponent=lambda b: with_raw(b, "exp", "1.7071254E9"),
    exp_nan=lambda b: with_raw(b, "exp", "NaN"),
    exp_infinity=lambda b: with_raw(b, "exp", "Infinity"),
    exp_of_2000_digits=lambda b: with_raw(b, "exp", "9" * 2000),
    exp_list=lambda b: b.token(exp=[b.at + 300]),
    exp_in_arabic_digits=lambda b: with_raw(b, "exp", "١٧٠٧١٢٥٤١٢"),
    exp_before_iat=lambda b: b.token(iat=b.at, exp=b.at - 1),
    exp_at_iat=lambda b: b.token(iat=b.at, exp=b.at),
    exp_negative=lambda b: b.token(exp=-1),
    lifetime_of_601_seconds=lambda b: b.token(exp=b.at + 601),
    lifetime_of_a_year=lambda b: b.token(exp=b.at + 31_536_000),
    lifetime_too_long_by_an_old_iat=lambda b: b.token(iat=b.at - 500, exp=b.at + 101),
    iat_missing=lambda b: b.token(iat=MISSING),
    iat_text=lambda b: b.token(iat=str(b.at)),
    iat_false=lambda b: b.token(iat=False, exp=300),
    iat_float=lambda b: b.token(iat=float(b.at)),
    iat_in_the_future=lambda b: b.token(iat=b.at + 121, exp=b.at + 400),
    nbf_text=lambda b: b.token(nbf=str(b.at)),
    nbf_null=lambda b: b.token(nbf=None),
    nbf_true=lambda b: b.token(nbf=True),
    nbf_in_the_future=lambda b: b.token(nbf=b.at + 121),
    jti_missing=lambda b: b.token(jti=MISSING),
    jti_number=lambda b: b.token(jti=1),
    jti_empty=lambda b: b.token(jti=""),
    jti_of_129_characters=lambda b: b.token(jti="j" * 129),
    jti_with_newline=lambda b: b.token(jti="a\nlevel=info"),
    claims_exp_twice=lambda b: doubled(b, "exp", str(b.at + 300)),
    claims_sub_twice=lambda b: doubled(b, "sub", '"pharmacy-b"'),
    claims_unread_member_twice=lambda b: b.raw_claims('{"x":1,"x":2,' + json.dumps(b.claims())[1:]),
    claims_nested_member_twice=lambda b: b.raw_claims('{"x":{"y":1,"y":2},' + json.dumps(b.claims())[1:]),
    claims_with_trailing_data=lambda b: b.raw_claims(json.dumps(b.claims()) + " {}"),
    claims_unread_nan=lambda b: b.raw_claims('{"x":NaN,' + json.dumps(b.claims())[1:]),
    iat_float_beside_a_whole_nbf=lambda b: b.token(iat=float(b.at), nbf=b.at),
    iat_true_beside_a_whole_nbf=lambda b: b.token(iat=True, exp=300, nbf=b.at),
    iat_in_the_future_beside_an_older_nbf=lambda b: b.token(iat=b.at + 121, exp=b.at + 400, nbf=b.at),
    claims_list=lambda b: b.raw_claims(json.dumps([b.claims()])),
    claims_null=lambda b: b.raw_claims("null"),
    claims_not_json=lambda b: b.raw_claims("iss=pharmacy-a"),
    claims_invalid_utf8=lambda b: b.raw_claims(b'{"x":"\xc0\xaf",' + json.dumps(b.claims()).encode()[1:]),
    claims_in_utf16=lambda b: b.raw_claims(json.dumps(b.claims()).encode("utf-16")),
    claims_nested_deeply=lambda b: b.raw_claims('{"x":' + "[" * 1100 + "]" * 1100 + "," + json.dumps(b.claims())[1:]),
    claims_with_a_comment=lambda b: b.raw_claims(json.dumps(b.claims()) + "//"),
    claims_are_a_token=lambda b: b.raw_claims(b.token()),
)

# --- spelling ----------------------------------------------------------------------------------------------------


def parts_with(token: str, position: int, change: Callable[[str], str]) -> str:
    parts = token.split(".")
    parts[position] = change(parts[position])
    return ".".join(parts)


def padded(part: str) -> str:
    return part + "=" * (-len(part) % 4 or 4)


def loose_bits(part: str) -> str:
    """The same bytes with the unused low bits of the last character set."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return part[:-1] + alphabet[alphabet.index(part[-1]) | 1]


def flattened(bench: Bench) -> str:
    head, claims, signature = bench.token().split(".")
    return json.dumps({"protected": head, "payload": claims, "signature": signature})


def general(bench: Bench) -> str:
    head, claims, signature = bench.token().split(".")
    return json.dumps({"payload": claims, "signatures": [{"protected": head, "signature": signature}]})


def long_token(bench: Bench) -> str:
    return bench.token(pad="x" * 3000)


each(
    padded_header=lambda b: parts_with(b.token(), 0, padded),
    padded_claims=lambda b: parts_with(b.token(), 1, padded),
    padded_signature=lambda b: parts_with(b.token(), 2, padded),
    padded_before_signing=lambda b: sealed_as(b, padded),
    signature_with_loose_bits=lambda b: parts_with(b.token(), 2, loose_bits),
    standard_alphabet=lambda b: parts_with(b.token(), 2, lambda part: "+/" + part[2:]),
    whitespace_inside=lambda b: parts_with(b.token(), 1, lambda part: part[:8] + " " + part[8:]),
    whitespace_before=lambda b: " " + b.token(),
    whitespace_after=lambda b: b.token() + " ",
    tab_after=lambda b: b.token() + "\t",
    newline_after=lambda b: b.token() + "\n",
    newline_inside=lambda b: parts_with(b.token(), 1, lambda part: part[:8] + "\r\n" + part[8:]),
    nul_after=lambda b: b.token() + "\0",
    non_ascii_after=lambda b: b.token() + "é",
    non_ascii_digit_inside=lambda b: parts_with(b.token(), 2, lambda part: part[:-1] + "１"),  # noqa: RUF001
    lone_surrogate=lambda b: b.token() + "\udcff",
    percent_encoded=lambda b: b.token().replace(".", "%2E"),
    empty_parts=lambda _: "..",
    empty_header=lambda b: parts_with(b.token(), 0, lambda _: ""),
    empty_claims=lambda b: parts_with(b.token(), 1, lambda _: ""),
    one_part=lambda b: b.token().replace(".", ""),
    two_parts=lambda b: b.token().rpartition(".")[0],
    four_parts=lambda b: b.token() + "." + signature_text(b),
    five_parts=lambda b: b.token() + "..",
    dot_after=lambda b: b.token() + ".",
    dot_before=lambda b: "." + b.token(),
    two_tokens=lambda b: f"{b.token()},{b.token()}",
    quoted=lambda b: f'"{b.token()}"',
    json_flattened=flattened,
    json_general=general,
    nested_token=lambda b: b.raw_claims(json.dumps(b.token())),
    longer_than_4096=long_token,
    random_bytes=lambda _: ".".join([b64(sha256(b"a").digest())] * 3),
)


def sealed_as(bench: Bench, spell: Callable[[str], str]) -> str:
    """Spelt so before it is signed: the signature covers the bad spelling and holds."""
    signed = f"{spell(b64(json.dumps(bench.header())))}.{spell(b64(json.dumps(bench.claims())))}"
    return f"{signed}.{b64(sign(bench.owner, signed.encode()))}"


def signature_text(bench: Bench) -> str:
    return bench.token().rpartition(".")[2]
