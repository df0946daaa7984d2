"""Arbitrary data: something else than a snapshot, unsigned, or signed by people nobody chose."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.attacks.forge import MANIFEST, RECORDS, Forge, encoded_json, sha256
from tests.attacks.victim import Victim

SIGNATURES = "2 signatures and threshold"
FORMAT = "3 parse and format"
FILES = "7 file list, sizes, SHA-256"
BOTH = "2 of signer-1, signer-2"


@pytest.mark.parametrize(
    ("document", "found"),
    [
        (b"", "not JSON with distinct members"),
        (bytes(range(256)), "not JSON with distinct members"),
        (b"[" * 100_000, "not JSON with distinct members"),
        (b'{"payload":"","payload":"","signatures":[]}', "not JSON with distinct members"),
        (b'{"payload":NaN,"signatures":[]}', "not JSON with distinct members"),
        (b"[]", "not a JSON object"),
        (b"{}", "not a JWS in General JSON Serialization"),
        (b'{"payload":"","protected":"","signature":""}', "not a JWS in General JSON Serialization"),
        (b'{"payload":"","signatures":[{"protected":"","signature":""}]}', "not JSON with distinct members"),
        (b'{"payload":"","signatures":[{}]}', "a signature is not exactly protected and signature"),
        (b'{"payload":"","signatures":[{"protected":1,"signature":""}]}', "a signature's parts are not text"),
        (b'{"payload":"","signatures":[]}', "no signature"),
    ],
)
def test_rubbish_as_a_manifest_is_refused(victim: Victim, forge: Forge, second: Path, document: bytes, found: str):
    folder = forge.copy(second)
    forge.put(folder / MANIFEST, document)
    victim.refuses(folder, SIGNATURES, BOTH, found)
    victim.takes(second, 2)


@pytest.mark.parametrize(
    ("signers", "found"),
    [
        ([], "no signature"),
        (["signer-1"], "1 of them (signer-1)"),
        (["stranger-1", "stranger-2"], "none of them, 2 by keys the trust file does not know"),
        (["signer-2", "stranger-1"], "1 of them (signer-2), 1 by keys the trust file does not know"),
        (["root-1", "root-2"], "none of them, 2 by keys the trust file does not know"),
        (["order", "receipt"], "none of them, 2 by keys the trust file does not know"),
    ],
    ids=["nobody", "one", "strangers", "one and a stranger", "roots", "the installation itself"],
)
def test_a_good_manifest_without_enough_of_its_signers_is_refused(
    victim: Victim, forge: Forge, second: Path, signers: list[str], found: str
):
    folder = forge.copy(second)
    forge.sign(folder, encoded_json(forge.payload(folder)), signers)
    victim.refuses(folder, SIGNATURES, BOTH, found)
    victim.takes(second, 2)


def test_a_forged_signature_beside_two_good_ones_refuses_all(victim: Victim, forge: Forge, second: Path):
    """A signature that does not hold is never passed over: it may be the only trace of a swapped payload."""
    folder = forge.copy(second)
    document = forge.document(folder)
    forged = forge.signature(b"something else", "signer-1")
    document["signatures"] = [*document["signatures"][1:], forged]
    forge.put(folder / MANIFEST, encoded_json(document))
    victim.refuses(folder, SIGNATURES, BOTH, f"the signature by key {forge.key('signer-1').kid} does not match")
    victim.takes(second, 2)


@pytest.mark.parametrize(
    "payload",
    [b"", b"\xff\xfe", b"null", b"{}", b'{"format":"relais-snapshot/2"}', b"[" * 100_000, b'{"a":1,"a":1}'],
    ids=lambda payload: ascii(payload[:40]),
)
def test_a_payload_that_is_no_manifest_is_refused_though_signed(
    victim: Victim, forge: Forge, second: Path, payload: bytes
):
    folder = forge.sign(forge.copy(second), payload)
    victim.refuses(folder, FORMAT, "a manifest of format relais-snapshot/1", re.compile(".+"))
    assert victim.verdict()["signers"] == []
    victim.takes(second, 2)


def test_a_member_nobody_knows_is_refused_because_it_may_be_a_rule(victim: Victim, forge: Forge, second: Path):
    folder = forge.rewrite(forge.copy(second), revoked=True)
    victim.refuses(
        folder,
        FORMAT,
        "a manifest of format relais-snapshot/1",
        "Object contains unknown field `revoked`",
    )
    victim.takes(second, 2)


def test_random_bytes_as_records_are_refused(victim: Victim, forge: Forge, second: Path):
    folder = forge.copy(second)
    good = (second / RECORDS).read_bytes()
    evil = bytes(len(good))
    forge.put(folder / RECORDS, evil)
    victim.refuses(folder, FILES, f"records.lmdb of SHA-256 {sha256(good)}", f"{sha256(evil)}: altered")
    victim.takes(second, 2)


@pytest.mark.parametrize("evil", [b"", b"\0" * 8192, b"SQLite format 3\0" * 1024], ids=["empty", "zeros", "another"])
def test_records_that_are_no_layer_are_refused_though_signed(victim: Victim, forge: Forge, second: Path, evil: bytes):
    folder = forge.copy(second)
    forge.put(folder / RECORDS, evil)
    forge.refit(folder)
    entries = forge.payload(folder)["counts"]["entries"]
    victim.refuses(
        folder,
        FILES,
        f"records.lmdb to be a whole layer of {entries} records and a probe",
        "page 0 does not begin a layer this version can read" if evil else "the layer is cut short",
    )
    victim.takes(second, 2)


def test_something_that_is_no_folder_is_refused(victim: Victim, forge: Forge, second: Path):
    folder = forge.room / "candidate"
    victim.refuses(folder, "0 folder", "a folder that can be read", "No such file or directory")
    folder.write_bytes(b"not a folder")
    victim.refuses(folder, "0 folder", "a folder that can be read", "Not a directory")
    folder.unlink()
    folder.mkdir()
    victim.refuses(folder, FILES, "a file manifest.json", "none")
    shutil.copy(second / MANIFEST, folder)
    victim.refuses(folder, FILES, "the file records.lmdb", "none")
    victim.takes(second, 2)
