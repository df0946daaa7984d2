"""Truncation: a file cut at every kind of boundary, unsigned and signed.

The engine maps whole pages: one that is gone kills the process that looks at it (SIGBUS). So each signed cut is
verified in a process of its own.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.attacks.forge import MANIFEST, RECORDS, Forge, decoded, encoded_json
from tests.attacks.judge import REFUSED, UNREADABLE, WHOLE, judged
from tests.attacks.victim import Contracts, Victim, in_child

SIGNATURES = "2 signatures and threshold"
FORMAT = "3 parse and format"
FILES = "7 file list, sizes, SHA-256"
PAGE = 4096


def cuts(size: int) -> list[int]:
    """Every kind of boundary, and one byte either side of it."""
    boundaries = (1, 2, 3, size // PAGE // 2, size // PAGE - 1)
    places = {0, 1, 100, size // 2, size - 1}
    return sorted(places | {PAGE * number + off for number in boundaries for off in (-1, 0, 1)})


def test_truncated_records_are_refused_by_their_size(victim: Victim, forge: Forge, second: Path):
    size = (second / RECORDS).stat().st_size
    for kept in cuts(size):
        folder = forge.copy(second)
        forge.put(folder / RECORDS, (second / RECORDS).read_bytes()[:kept])
        victim.refuses(folder, FILES, f"records.lmdb of {size} bytes", f"{kept} bytes: cut short")
    victim.takes(second, 2)


def test_truncated_records_are_refused_though_signed_at_that_size(victim: Victim, forge: Forge, second: Path):
    data = (second / RECORDS).read_bytes()
    entries = forge.payload(second)["counts"]["entries"]
    expected = f"records.lmdb to be a whole layer of {entries} records and a probe"
    for kept in cuts(len(data)):
        folder = forge.copy(second)
        forge.put(folder / RECORDS, data[:kept])
        forge.refit(folder)
        assert in_child(lambda folder=folder: victim.relais("snapshot", "verify", folder).status) == 1, kept
        victim.refuses(folder, FILES, expected, "the layer is cut short")
    victim.takes(second, 2)


def test_records_with_a_hole_are_harmless_though_signed(
    victim: Victim, forge: Forge, second: Path, truth: dict[str, Contracts]
):
    """As long as it should be, and nothing but zeros from some page on: what a copy that ran out of disk looks like."""
    data = (second / RECORDS).read_bytes()
    outcomes = Counter[int]()
    for kept in cuts(len(data))[1:-1]:
        folder = forge.copy(second)
        forge.put(folder / RECORDS, data[:kept] + bytes(len(data) - kept))
        forge.refit(folder)
        outcomes[in_child(lambda folder=folder: judged(victim, folder, truth))] += 1
    # Some lie behind the last page that is in use; none is taken for another person's rights, none kills.
    assert set(outcomes) <= {WHOLE, UNREADABLE, REFUSED}
    assert outcomes[REFUSED] > 10
    victim.takes(second, 2)


@pytest.mark.parametrize("extra", [1, PAGE, 10 * PAGE])
def test_records_with_more_behind_them_change_nothing_when_signed(
    victim: Victim, forge: Forge, second: Path, extra: int
):
    """What no page leads to is not looked at."""
    folder = forge.copy(second)
    forge.put(folder / RECORDS, (second / RECORDS).read_bytes() + b"\xff" * extra)
    forge.refit(folder)
    victim.takes(folder, 2)


def test_a_truncated_manifest_is_refused(victim: Victim, forge: Forge, second: Path):
    data = (second / MANIFEST).read_bytes()
    for kept in (0, 1, len(data) // 2, PAGE - 1, PAGE, PAGE + 1, len(data) - 2, len(data) - 1):
        if kept >= len(data):
            continue
        folder = forge.copy(second)
        forge.put(folder / MANIFEST, data[:kept])
        victim.refuses(folder, SIGNATURES, "2 of signer-1, signer-2", "not JSON with distinct members")
    victim.takes(second, 2)


def test_a_truncated_payload_is_refused_though_signed(victim: Victim, forge: Forge, second: Path):
    payload = decoded(forge.document(second)["payload"])
    for kept in (0, 1, len(payload) // 2, len(payload) - 1):
        folder = forge.sign(forge.copy(second), payload[:kept])
        said = victim.load(folder)
        assert (said.status, said.err.count("\n")) == (1, 1)
        assert victim.verdict(folder)["step"] == FORMAT
    assert victim.state().active == 1
    victim.takes(second, 2)


def test_a_truncated_signature_is_refused(victim: Victim, forge: Forge, second: Path):
    kid = forge.key("signer-1").kid
    for kept in (0, 42, 43, 84):
        folder = forge.copy(second)
        document = forge.document(folder)
        document["signatures"][0]["signature"] = document["signatures"][0]["signature"][:kept]
        forge.put(folder / MANIFEST, encoded_json(document))
        said = victim.load(folder)
        assert said.status == 1
        assert said.err.endswith(
            (
                f"the signature by key {kid} does not match\n",
                "not canonical base64url without padding\n",
                "not base64url\n",
            )
        )
        assert victim.verdict(folder)["step"] == SIGNATURES
    victim.takes(second, 2)
