"""The people who make snapshots: they build from rows, and sign, by the product's own commands."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tests.fleet import Installation

SIGNERS = ("signer-1", "signer-2")


def build(
    site: Installation,
    sequence: int,
    rows: Iterable[Mapping[str, Any]] | None = None,
    *,
    policy: Path | None = None,
    signers: Iterable[str] = SIGNERS,
    name: str | None = None,
    canaries: Iterable[Mapping[str, Any]] | None = None,
) -> Path:
    """A snapshot of `rows` (default: the demo's people) beside the home, signed by the named keys of the home."""
    out = site.home.with_name(name or f"built-{sequence}")
    source = site.home / "demo" / "rows.ndjson"
    if rows is not None:
        source = out.with_suffix(".ndjson")
        source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ["snapshot", "build", "--source", str(source), "--policy", str(policy or policy_of(site))]
    if canaries is not None:
        planted = out.with_name(f"{out.name}-canaries.ndjson")
        planted.write_text("".join(json.dumps(row) + "\n" for row in canaries))
        words += ["--canaries", str(planted)]
    site.relais(*words, "--out", str(out), "--sequence", str(sequence))
    for signer in signers:
        sign(site, out, signer)
    return out


def sign(site: Installation, folder: Path, signer: str) -> None:
    """One signature more."""
    site.relais("snapshot", "sign", str(folder), "--key", str(site.home / "keys" / f"{signer}.jwk"))


def policy_of(site: Installation) -> Path:
    """The policy file of the demo."""
    return site.home / "demo" / "policy.toml"


def shifted(site: Installation) -> list[dict[str, Any]]:
    """The demo's people a night later: the person of the open example is known no more, some others neither."""
    gone = site.example("open")["beneficiary"]["nir"][:13]
    return [row for row in site.rows()[:-40] if row["nir"][:13] != gone]


def load(site: Installation, folder: Path, *words: str, status: int | None = 0) -> str:
    """`relais snapshot load`; gives what it said on standard output, or where refused on standard error."""
    done = site.relais("snapshot", "load", str(folder), *words, status=status)
    return done.stdout if done.returncode == 0 else done.stderr


def held(site: Installation) -> dict[int, str]:
    """State by sequence, from `relais snapshot list`."""
    return {
        one["sequence"]: one["state"]
        for one in json.loads(site.relais("snapshot", "list", "--json").stdout)["snapshots"]
    }


def fleet(site: Installation) -> list[dict[str, Any]]:
    """The workers as `relais status` knows them."""
    workers: list[dict[str, Any]] = json.loads(site.relais("status", "--fleet", "--json").stdout)["workers"]
    return workers
