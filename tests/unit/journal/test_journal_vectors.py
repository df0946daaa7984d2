"""The published vectors: reproduced by the product, and checked once without it, as another language would."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import runpy
from pathlib import Path
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from service.journal.officer import parse_officer_private_jwk
from service.journal.reader import read_segment
from service.journal.receipt import verify_receipt
from service.journal.selection import Reading, Selection
from service.jwk import parse_public_jwk
from tests.unit.journal.journal_node import naive_root

DATA = Path(__file__).parents[2] / "data"
VECTORS: dict[str, Any] = orjson.loads((DATA / "journal_vectors.json").read_bytes())
KEY = parse_public_jwk(VECTORS["keys"]["receipt"])
KEYS = {KEY.kid: KEY}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / f"{VECTORS['journal']}.jsonl"
    file.write_text(VECTORS["segment"])
    file.with_suffix(".key").write_text(VECTORS["key_file"])
    return file


def test_the_script_gives_the_published_bytes():
    made = runpy.run_path(str(DATA / "make_journal_vectors.py"))["make"]()
    assert made == (DATA / "journal_vectors.json").read_bytes()


def test_the_segment_is_whole_and_its_officer_opens_it(path: Path):
    report = read_segment(path, KEYS)
    assert (report.findings, report.entries, report.batches) == ([], 4, 2)
    officer = parse_officer_private_jwk(VECTORS["keys"]["officer"])
    opened = [one for _, one in Reading(path.parent, Selection(), officer).entries()]
    for item, question in zip(opened, VECTORS["questions"], strict=True):
        sealed = {name: question[name] for name in ("answer", "opening", "query")}
        assert item.content == (None if question["identity"] is None else sealed)


def test_good_receipts_hold_and_bad_ones_fail_for_their_reason():
    for question in VECTORS["questions"]:
        assert verify_receipt(question["answer"], question["receipt"], KEYS).valid
    for case in VECTORS["refused"]:
        assert verify_receipt(case["answer"], case["receipt"], KEYS).reason == case["reason"]


def decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def hashed(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def opened(token: str, typ: str) -> dict[str, Any]:
    head, body, signature = token.split(".")
    Ed25519PublicKey.from_public_bytes(decode(VECTORS["keys"]["receipt"]["x"])).verify(
        decode(signature), f"{head}.{body}".encode()
    )
    assert json.loads(decode(head)) == {"alg": "EdDSA", "kid": VECTORS["keys"]["receipt"]["kid"], "typ": typ}
    return json.loads(decode(body))


def test_the_format_holds_without_the_product():
    first, *lines = VECTORS["segment"].encode().splitlines(keepends=True)
    header = opened(json.loads(first)["header"], "relais-journal+jws")
    assert header["key_sha256"] == hashed(VECTORS["key_file"].encode())
    data_key = decode(VECTORS["keys"]["data"])
    seal = AESGCM(hmac.digest(data_key, b"relais-journal/1 seal", "sha256"))
    subject_key = hmac.digest(data_key, b"relais-journal/1 subject", "sha256")
    previous, batch, n = hashed(json.loads(first)["header"].encode()), [], 0
    for line in lines:
        value = json.loads(line)
        if "head" not in value:
            question = VECTORS["questions"][value["n"]]
            batch.append((line, value))
            if question["identity"] is None:
                assert (value["subject"], value["sealed"]) == (None, None)
                continue
            subject = hmac.digest(subject_key, question["identity"].encode(), "sha256")
            assert decode(value["subject"]) == subject
            plain = seal.decrypt(value["n"].to_bytes(12, "big"), decode(value["sealed"]), header["journal"].encode())
            content = {name: question[name] for name in ("answer", "opening", "query")}
            assert plain == json.dumps(content, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()
            continue
        head = opened(value["head"], "relais-head+jws")
        leaves = [decode(entry["leaf"]) for _, entry in batch]
        assert head == {
            "at": header["at"],
            "entries": hashed(b"".join(text for text, _ in batch)),
            "first": n,
            "journal": header["journal"],
            "previous": previous,
            "root": base64.urlsafe_b64encode(naive_root(leaves)).rstrip(b"=").decode(),
            "size": len(batch),
        }
        previous, n, batch = hashed(value["head"].encode()), n + len(batch), []
    assert (n, batch) == (4, [])


def test_the_trees_are_those_of_the_recursive_definition():
    for tree in VECTORS["merkle"]["trees"]:
        leaves = [hashlib.sha256(bytes([0, index])).digest() for index in range(tree["size"])]
        assert decode(tree["root"]) == naive_root(leaves)
