"""Another pepper under the right name: without the probe it would look as if nobody were insured."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tests.attacks.forge import SIGNERS, Forge, encoded
from tests.attacks.victim import Victim

PEPPER = "8 pepper and probe"
CLOSED = "the probe does not open: another pepper, another salt, or a damaged layer"


def build(victim: Victim, out: Path, sequence: int) -> Path:
    """What a builder with the pepper of that home makes, signed by both."""
    demo = victim.home / "demo"
    words = ("--source", demo / "rows.ndjson", "--policy", demo / "policy.toml", "--sequence", str(sequence))
    assert victim.relais("snapshot", "build", *words, "--out", out).status == 0
    for signer in SIGNERS:
        key = victim.home / "keys" / f"{signer}.jwk"
        assert victim.relais("snapshot", "sign", out, "--key", key).status == 0
    return out


def peppers(victim: Victim) -> list[dict[str, str]]:
    keys: list[dict[str, str]] = json.loads((victim.home / "keys" / "pepper.jwk").read_bytes())["keys"]
    return keys


def give(victim: Victim, *keys: dict[str, str]) -> None:
    (victim.home / "keys" / "pepper.jwk").write_text(json.dumps({"keys": keys}))


def test_a_file_sealed_with_another_pepper_under_the_right_kid_is_refused(victim: Victim, forge: Forge, second: Path):
    builder = Victim(Path(shutil.copytree(victim.home, forge.room / "builder")))
    (own,) = peppers(victim)
    give(builder, {**own, "k": encoded(b"another secret of thirty-two byte")})
    folder = build(builder, forge.room / "candidate", 2)
    assert forge.payload(folder)["pepper_kid"] == own["kid"]
    victim.refuses(folder, PEPPER, f"the probe to open under pepper {own['kid']}", CLOSED)
    victim.takes(second, 2)


def test_a_file_sealed_under_a_kid_nobody_holds_here_is_refused(victim: Victim, forge: Forge, second: Path):
    (own,) = peppers(victim)
    folder = forge.rewrite(forge.copy(second), pepper_kid="another")
    victim.refuses(folder, PEPPER, f"pepper {own['kid']}", "another: not held here")
    victim.takes(second, 2)


def test_two_peppers_that_changed_names_open_nothing(victim: Victim, forge: Forge, second: Path):
    (own,) = peppers(victim)
    other = {**own, "kid": "new", "k": encoded(b"another secret of thirty-two byte")}
    give(victim, {**own, "k": other["k"]}, {**other, "k": own["k"]})
    folder = forge.copy(second)
    victim.refuses(folder, PEPPER, f"the probe to open under pepper {own['kid']}", CLOSED)
    named = forge.rewrite(forge.copy(second, "named"), pepper_kid="new")
    give(victim, own, other)
    victim.refuses(named, PEPPER, "the probe to open under pepper new", CLOSED)
    victim.takes(second, 2)
