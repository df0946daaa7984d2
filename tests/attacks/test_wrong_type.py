"""A signed object of another type: what a signer once signed for another purpose is not a manifest, nor the reverse."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.attacks.forge import MANIFEST, MANIFEST_TYP, Forge, encoded_json
from tests.attacks.victim import Victim

SIGNATURES = "2 signatures and threshold"
BOTH = "2 of signer-1, signer-2"
OTHERS = ("relais-trust+jws", "relais-order+jws", "relais-head+jws", "relais-receipt+jws", "JWT", "jwt", "")


@pytest.mark.parametrize("typ", [*OTHERS, "RELAIS-SNAPSHOT+JWS", "application/relais-snapshot+jws"])
def test_a_manifest_signed_as_another_type_is_refused(victim: Victim, forge: Forge, second: Path, typ: str):
    folder = forge.copy(second)
    forge.sign(folder, encoded_json(forge.payload(folder)), typ=typ)
    victim.refuses(folder, SIGNATURES, BOTH, f"the object is not a {MANIFEST_TYP}")
    victim.takes(second, 2)


def test_one_signature_of_another_type_among_good_ones_is_refused(victim: Victim, forge: Forge, second: Path):
    folder = forge.copy(second)
    payload = encoded_json(forge.payload(folder))
    mixed = [forge.signature(payload, "signer-1"), forge.signature(payload, "signer-2", typ="relais-order+jws")]
    forge.put(folder / MANIFEST, forge.general(payload, mixed))
    victim.refuses(folder, SIGNATURES, BOTH, f"the object is not a {MANIFEST_TYP}")
    victim.takes(second, 2)


def test_the_trust_file_is_no_manifest(victim: Victim, forge: Forge, second: Path):
    folder = forge.copy(second)
    forge.put(folder / MANIFEST, (victim.home / "trust.json").read_bytes())
    victim.refuses(folder, SIGNATURES, BOTH, f"the object is not a {MANIFEST_TYP}")
    victim.takes(second, 2)


def test_a_manifest_is_no_trust_file(victim: Victim, forge: Forge, second: Path):
    """The people of a trust file signed by the roots as a manifest, and a manifest in its place."""
    path = victim.home / "trust.json"
    good = path.read_bytes()
    as_manifest = forge.sign(forge.copy(second, "trust"), forge.trust_payload(), ["root-1", "root-2"])
    for document in ((second / MANIFEST).read_bytes(), (as_manifest / MANIFEST).read_bytes()):
        path.write_bytes(document)
        before = victim.state()
        said = victim.load(second)
        assert (said.status, said.out, said.err.count("\n")) == (1, "", 1)
        assert victim.state() == before
    assert said.err == f"relais: {path}: the object is not a relais-trust+jws\n"
    path.write_bytes(good)
    victim.takes(second, 2)
