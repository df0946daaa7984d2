"""One signer signing twice: a threshold counts people, whatever they sign with and however often."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.attacks.forge import MANIFEST, SIGNERS, Forge, encoded_json
from tests.attacks.victim import Victim

SIGNATURES = "2 signatures and threshold"
BOTH = "2 of signer-1, signer-2"


def trust(victim: Victim, *signers: tuple[str, Path], threshold: int = 2) -> None:
    """Another trust file for the same home: these names with these keys may sign."""
    keys = victim.home / "keys"
    (victim.home / "trust.json").unlink()
    words: list[str | Path] = ["--root-threshold", "2", "--snapshot-threshold", str(threshold)]
    for root in ("root-1", "root-2"):
        words += ["--root", f"{root}={keys / root}.pub.jwk", "--sign", keys / f"{root}.jwk"]
    for name, path in signers:
        words += ["--snapshot", f"{name}={path}"]
    said = victim.relais("trust", "new", *words)
    assert said.status == 0, said.err


def test_one_signature_twice_is_refused(victim: Victim, forge: Forge, second: Path):
    folder = forge.copy(second)
    document = forge.document(folder)
    document["signatures"] = [document["signatures"][0]] * 2
    forge.put(folder / MANIFEST, encoded_json(document))
    victim.refuses(folder, SIGNATURES, BOTH, "one key signed twice")
    victim.takes(second, 2)


def test_one_signer_signing_anew_is_still_one_key(victim: Victim, forge: Forge, second: Path):
    """ES256 signatures differ each time, and an Ed25519 one can be made over another spelling of the header."""
    folder = forge.copy(second)
    payload = encoded_json(forge.payload(folder))
    one = forge.signature(payload, "signer-1")
    other = forge.respelt(payload, "signer-1")
    assert one["protected"] != other["protected"]
    forge.put(folder / MANIFEST, forge.general(payload, [one, other]))
    victim.refuses(folder, SIGNATURES, BOTH, "one key signed twice")
    victim.takes(second, 2)


def test_one_person_with_two_keys_counts_once(victim: Victim, forge: Forge, second: Path):
    forge.key("new-key")
    trust(
        victim,
        ("signer-1", victim.home / "keys" / "signer-1.pub.jwk"),
        ("signer-1", forge.room / "new-key.pub.jwk"),
        ("signer-2", victim.home / "keys" / "signer-2.pub.jwk"),
    )
    folder = forge.copy(second)
    forge.sign(folder, encoded_json(forge.payload(folder)), ["signer-1", "new-key"])
    found = "1 of them (signer-1), one person signed with several keys and counts once"
    victim.refuses(folder, SIGNATURES, BOTH, found)
    victim.takes(forge.sign(folder, encoded_json(forge.payload(folder)), ["new-key", "signer-2"]), 2)


@pytest.mark.parametrize("other", ["SIGNER-1", "Signer-1", "\N{FULLWIDTH LATIN SMALL LETTER S}igner-1"])
def test_one_person_under_two_spellings_makes_no_trust_file(victim: Victim, forge: Forge, other: str):
    forge.key("new-key")
    path = victim.home / "trust.json"
    good = path.read_bytes()
    with pytest.raises(AssertionError, match="names one person twice"):
        trust(
            victim,
            ("signer-1", victim.home / "keys" / "signer-1.pub.jwk"),
            (other, forge.room / "new-key.pub.jwk"),
        )
    assert not path.exists()
    path.write_bytes(good)
    assert victim.relais("trust", "show").status == 0


def test_a_signature_in_anothers_name_is_refused(victim: Victim, forge: Forge, second: Path):
    """The kid of one signer over the signature of the other: as if both had signed."""
    folder = forge.copy(second)
    payload = encoded_json(forge.payload(folder))
    kid = forge.key(SIGNERS[1]).kid
    borrowed = forge.signature(payload, SIGNERS[0], kid=kid)
    forge.put(folder / MANIFEST, forge.general(payload, [forge.signature(payload, SIGNERS[0]), borrowed]))
    victim.refuses(folder, SIGNATURES, BOTH, f"the signature by key {kid} does not match")
    victim.takes(second, 2)


def test_signing_again_by_the_command_adds_nobody(victim: Victim, forge: Forge, second: Path):
    folder = forge.copy(second)
    forge.sign(folder, encoded_json(forge.payload(folder)), ["signer-1"])
    key = victim.home / "keys" / "signer-1.jwk"
    for _ in range(2):
        said = victim.relais("snapshot", "sign", folder, "--key", key)
        assert said.status == 0
        assert "1 of 2 needed: signer-1" in said.out.splitlines()
    victim.refuses(folder, SIGNATURES, BOTH, "1 of them (signer-1)")
    victim.takes(second, 2)
