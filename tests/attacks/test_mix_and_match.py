"""Mix-and-match: parts of two good snapshots put together to a third that nobody signed."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.attacks.forge import MANIFEST, RECORDS, Forge, encoded_json, sha256
from tests.attacks.victim import Victim

SIGNATURES = "2 signatures and threshold"
FILES = "7 file list, sizes, SHA-256"
PEPPER = "8 pepper and probe"
BOTH = "2 of signer-1, signer-2"


def test_the_records_of_one_snapshot_under_the_manifest_of_another_are_refused(
    victim: Victim, forge: Forge, first: Path, second: Path
):
    folder = forge.copy(second)
    forge.put(folder / RECORDS, (first / RECORDS).read_bytes())
    wanted, got = (second / RECORDS).stat().st_size, (first / RECORDS).stat().st_size
    if wanted == got:
        expected = f"records.lmdb of SHA-256 {sha256((second / RECORDS).read_bytes())}"
        found = f"{sha256((first / RECORDS).read_bytes())}: altered"
    else:
        expected = f"records.lmdb of {wanted} bytes"
        found = f"{got} bytes: {'cut short' if got < wanted else 'too long'}"
    victim.refuses(folder, FILES, expected, found)
    victim.takes(second, 2)


def test_records_of_one_size_and_another_content_are_refused(victim: Victim, forge: Forge, second: Path):
    """As above where not even the size gives it away: every record of the one snapshot lies elsewhere in the other."""
    records = forge.records(second)
    turned = {}
    for length in set(map(len, records.values())):
        keys = [key for key in records if len(records[key]) == length]
        turned |= {key: records[other] for key, other in zip(keys, [*keys[1:], keys[0]], strict=True)}
    one = forge.write_records(forge.copy(second, "one"), records)
    other = forge.write_records(forge.copy(second, "other"), turned)
    good, evil = (sha256((folder / RECORDS).read_bytes()) for folder in (one, other))
    assert (one / RECORDS).stat().st_size == (other / RECORDS).stat().st_size
    shutil.copy(other / RECORDS, one / RECORDS)
    victim.refuses(one, FILES, f"records.lmdb of SHA-256 {good}", f"{evil}: altered")
    victim.takes(second, 2)


def test_the_signatures_of_one_manifest_on_the_payload_of_another_are_refused(
    victim: Victim, forge: Forge, first: Path, second: Path
):
    folder = forge.copy(second)
    document = {**forge.document(folder), "signatures": forge.document(first)["signatures"]}
    forge.put(folder / MANIFEST, encoded_json(document))
    victim.refuses(folder, SIGNATURES, BOTH, f"the signature by key {forge.key('signer-1').kid} does not match")
    victim.takes(second, 2)


def test_one_signature_of_each_of_two_manifests_is_not_two(victim: Victim, forge: Forge, first: Path, second: Path):
    """Either signer signed something; the two together signed nothing."""
    folder = forge.copy(second)
    document = forge.document(folder)
    document["signatures"] = [document["signatures"][0], forge.document(first)["signatures"][1]]
    forge.put(folder / MANIFEST, encoded_json(document))
    victim.refuses(folder, SIGNATURES, BOTH, f"the signature by key {forge.key('signer-2').kid} does not match")
    victim.takes(second, 2)


def test_the_salt_of_another_layer_is_refused_though_signed(victim: Victim, forge: Forge, first: Path, second: Path):
    folder = forge.rewrite(forge.copy(second), salt=forge.payload(first)["salt"])
    victim.refuses(
        folder,
        PEPPER,
        f"the probe to open under pepper {forge.payload(second)['pepper_kid']}",
        "the probe does not open: another pepper, another salt, or a damaged layer",
    )
    victim.takes(second, 2)
