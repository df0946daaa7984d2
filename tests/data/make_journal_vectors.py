"""Writes journal_vectors.json: one small segment with every secret, so that another language can check itself.

Everything is fixed, the encapsulation's ephemeral key included: running it again gives the same bytes.
"""

from __future__ import annotations

import datetime as dt
import hmac
from pathlib import Path
from typing import Any

import msgspec
import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from service.base64url import b64u, b64u_decode, sha256_b64u
from service.journal import keys, merkle
from service.journal.batch import HeadSigner, Sealer
from service.journal.entries import FORMAT, HEADER_TYP, Header, Pending, Receipt, encode, header_line, journal_id
from service.jwk import PrivateKey, parse_private_jwk, private_jwk, thumbprint
from service.jws import sign_compact
from service.strictjson import canonical

FILE = Path(__file__).with_name("journal_vectors.json")
NOW = dt.datetime(2024, 2, 5, 9, 30, 12, 123000, tzinfo=dt.UTC)
DATA_KEY = bytes(range(32))
OPENING = bytes(range(16))
EPHEMERAL = bytes([9]) * 32


def officer_key() -> dict[str, str]:
    key = X25519PrivateKey.from_private_bytes(bytes([7]) * 32)
    jwk = {"crv": "X25519", "kty": "OKP", "x": b64u(key.public_key().public_bytes_raw())}
    return {**jwk, "d": b64u(key.private_bytes_raw()), "use": "enc", "kid": thumbprint(jwk)}


def receipt_key() -> PrivateKey:
    return parse_private_jwk(private_jwk(Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32)))


def hpke_seal(plaintext: bytes, public: bytes, info: bytes) -> bytes:
    """RFC 9180 §5.1.1 and §6.1 with a fixed ephemeral key: enc ‖ ciphertext."""

    def extract(suite: bytes, salt: bytes, label: bytes, key: bytes) -> bytes:
        return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + key, "sha256")

    def expand(suite: bytes, key: bytes, label: bytes, context: bytes, size: int) -> bytes:
        return HKDFExpand(SHA256(), size, size.to_bytes(2, "big") + b"HPKE-v1" + suite + label + context).derive(key)

    kem, hpke = b"KEM\x00\x20", b"HPKE\x00\x20\x00\x01\x00\x02"
    ephemeral = X25519PrivateKey.from_private_bytes(EPHEMERAL)
    enc = ephemeral.public_key().public_bytes_raw()
    agreed = ephemeral.exchange(X25519PublicKey.from_public_bytes(public))
    secret = expand(kem, extract(kem, b"", b"eae_prk", agreed), b"shared_secret", enc + public, 32)
    schedule = b"\x00" + extract(hpke, b"", b"psk_id_hash", b"") + extract(hpke, b"", b"info_hash", info)
    top = extract(hpke, secret, b"secret", b"")
    key, nonce = expand(hpke, top, b"key", schedule, 32), expand(hpke, top, b"base_nonce", schedule, 12)
    return enc + AESGCM(key).encrypt(nonce, plaintext, b"")


def asked(number: int) -> tuple[dict[str, Any], dict[str, Any], str | None]:
    """Query, answer and canonical identity of one recorded question; the last is for a fictitious NIR."""
    fictitious = number == 3
    nir = "2555555000042" if fictitious else "1850575116001"
    query = {
        "amc": None,
        "beneficiary": {"birth_date": "1985-05-12", "birth_rank": 1 + number % 2, "nir": nir},
        "benefits": ["PH4", "PH7"],
        "domain": "PHAR",
        "finess": "750012346",
        "service_date": "2024-02-05",
    }
    answer = {
        "advice": "check_card",
        "asked": b64u(hmac.digest(OPENING, canonical(query), "sha256")),
        "at": "2024-02-05T09:30:12.123Z",
        "contracts": [],
        "for": {"client": "pharmacie-1", "finess": "750012346"},
        "id": f"018d7892-73eb-7000-8000-00000000000{number}",
        "notices": [{"id": "2024-01-29", "severity": "warning", "text": "Visiodroits est coupé \U0001f50c"}],
        "reasons": ["upstream_disabled", "identity_not_searchable" if fictitious else "beneficiary_unknown"],
        "status": "unknown",
    }
    return query, answer, None if fictitious else f"nir|{nir}|1985-05-12|{1 + number % 2}"


def pending(number: int) -> Pending:
    query, answer, identity = asked(number)
    return Pending(
        answer=canonical(answer),
        query=canonical(query),
        opening=OPENING,
        identity=identity,
        client="pharmacie-1",
        finess="750012346",
        lease=None if number == 0 else 7,
        disclosed="none",
        status="unknown",
        reasons=tuple(answer["reasons"]),
        snapshot=42,
    )


def segment() -> tuple[dict[str, Any], list[Receipt]]:
    journal, key, officer = journal_id(NOW, bytes(range(10))), receipt_key(), officer_key()
    wrapped = hpke_seal(DATA_KEY, b64u_decode(officer["x"]), journal.encode())
    document = {
        "format": keys.KEY_FORMAT,
        "journal": journal,
        "keys": [{"kid": officer["kid"], "sealed": b64u(wrapped)}],
    }
    key_file = canonical(document) + b"\n"
    header = Header(
        at="2024-02-05T09:30:12.123Z",
        format=FORMAT,
        journal=journal,
        key_sha256=sha256_b64u(key_file),
        node="node-1",
        officers=(officer["kid"],),
        previous=None,
        worker=0,
    )
    token = sign_compact(encode(header), HEADER_TYP, key)
    sealer = Sealer(journal, DATA_KEY, HeadSigner(key), sha256_b64u(token.encode()))
    batches = [sealer.batch([pending(0)], NOW), sealer.batch([pending(n) for n in (1, 2, 3)], NOW)]
    text = header_line(token) + b"".join(batch.data for batch in batches)
    found = {"journal": journal, "key_file": key_file.decode(), "segment": text.decode()}
    return found, [receipt for batch in batches for receipt in batch.receipts]


def merkle_cases() -> list[dict[str, Any]]:
    cases = []
    for size in range(1, 9):
        leaves = [merkle.leaf_hash(bytes([index])) for index in range(size)]
        paths = [[b64u(node) for node in merkle.inclusion_path(leaves, index)] for index in range(size)]
        cases.append({"size": size, "root": b64u(merkle.tree_hash(leaves)), "paths": paths})
    return cases


def refused(receipts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Answers and receipts that do not hold, each with its reason."""
    good, (_, answer, _), (_, other, _) = receipts[2], asked(2), asked(1)
    head, body, signature = good["head"].split(".")
    bent = f"{head}.{body}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}"
    changes: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
        ("root_mismatch", other, good),
        ("root_mismatch", answer | {"status": "open"}, good),
        ("root_mismatch", answer, good | {"index": 0}),
        ("index_outside_batch", answer, good | {"index": 3}),
        ("malformed_path", answer, good | {"path": good["path"][:-1]}),
        ("malformed_path", answer, good | {"path": [*good["path"], good["path"][0]]}),
        ("malformed_receipt", answer, {"head": good["head"], "path": good["path"]}),
        ("malformed_head", answer, good | {"head": f"{body}.{signature}"}),
        ("bad_signature", answer, good | {"head": bent}),
        ("malformed_answer", answer | {"ratio": 0.5}, good),
    ]
    return [{"reason": reason, "answer": told, "receipt": receipt} for reason, told, receipt in changes]


def make() -> bytes:
    found, receipts = segment()
    derived, plain = keys.derive(DATA_KEY), [msgspec.to_builtins(receipt) for receipt in receipts]
    questions = []
    for number, receipt in enumerate(plain):
        query, answer, identity = asked(number)
        questions.append(
            {"identity": identity, "query": query, "opening": b64u(OPENING), "answer": answer, "receipt": receipt}
        )
    vectors = {
        "keys": {
            "receipt": private_jwk(receipt_key().key),
            "officer": officer_key(),
            "data": b64u(DATA_KEY),
            "seal": b64u(derived.seal),
            "subject": b64u(derived.subject),
        },
        **found,
        "questions": questions,
        "refused": refused(plain),
        "merkle": {"leaf": "leaf i of each tree is over the one byte i", "trees": merkle_cases()},
    }
    return orjson.dumps(vectors, option=orjson.OPT_INDENT_2) + b"\n"


if __name__ == "__main__":
    FILE.write_bytes(make())
