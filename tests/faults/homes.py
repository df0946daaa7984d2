"""A home in which snapshot 1 serves, the snapshots of the next night, and what a worker would say of them."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from service.cli.common import open_home
from service.cli.ordering import open_ledger
from service.follower import Vault
from service.identifiers import nir_identity
from service.rights.model import Absence, Contract
from service.snapshot.catalog import Catalog
from service.snapshot.crashes import Crashes
from service.snapshot.opened import Snapshot
from service.snapshot.pepper import load_peppers
from service.snapshot.truststore import TrustStore
from tests.fleet import Installation
from tests.scenarios.supply import SIGNERS, build, sign


@dataclass(frozen=True, slots=True)
class Night:
    """Snapshots that follow the one a home serves: a base, a delta and an empty delta over snapshot 1, all of number 2.

    `leaver` is somebody whom snapshot 1 knows, and base and delta of the next night do not.
    """

    home: Path
    base: Path
    delta: Path
    empty: Path
    leaver: str

    def snapshot(self, kind: str) -> Path:
        """The folder of the one asked for: `base`, `delta` or `empty`."""
        folder: Path = getattr(self, kind)
        return folder

    def fresh(self, folder: Path) -> Path:
        """A home of one's own, as it was before the night."""
        return Path(shutil.copytree(self.home, folder, symlinks=True))


def make_night(folder: Path, people: int = 400) -> Night:
    """By the product's own commands."""
    site = Installation.make(folder / "home", people)
    first = site.home / "snapshots" / "1"
    person = site.example("open")["beneficiary"]
    rows = [row for row in site.rows() if row["nir"][:13] != person["nir"][:13]]
    base = build(site, 2, rows, name="base")
    source, delta, empty = folder / "base.ndjson", folder / "delta", folder / "empty"
    policy = ("--policy", str(site.home / "demo" / "policy.toml"), "--sequence", "2")
    site.relais("snapshot", "build", "--source", str(source), *policy, "--base", str(first), "--out", str(delta))
    site.relais("snapshot", "attest", "--base", str(first), *policy, "--out", str(empty), at_home=False)
    for made in (delta, empty):
        for signer in SIGNERS:
            sign(site, made, signer)
    leaver = nir_identity(person["nir"][:13], person["birth_date"], person.get("birth_rank", 1))
    return Night(site.home, base, delta, empty, leaver)


def active(home: Path) -> int:
    """The sequence the orders name."""
    with open_ledger(*open_home(home), stale=True) as ledger:
        assert ledger.state.activation is not None
        return ledger.state.activation.sequence


@contextmanager
def served(home: Path) -> Iterator[Snapshot]:
    """What a worker that starts now opens."""
    place, settings = open_home(home)
    vault = Vault(
        catalog=Catalog.of(place),
        load_trust=TrustStore.of(place, demo=True).load,
        load_peppers=lambda: load_peppers(place.path(settings.keys.pepper)),
        out_of_scope=(),
        crashes=Crashes(place.run, 0),
    )
    with open_ledger(place, settings, stale=True) as ledger:
        activation = ledger.state.activation
    assert activation is not None
    snapshot, _ = vault.open(activation, dt.datetime.now(dt.UTC))
    with closing(snapshot):
        yield snapshot


def answer(home: Path, identity: str) -> tuple[Contract, ...] | Absence:
    """What it says of somebody."""
    with served(home) as snapshot:
        return snapshot.find(identity)


def knows(home: Path, identity: str) -> bool:
    """Whether it knows somebody. Never unreadable."""
    found = answer(home, identity)
    assert found is not Absence.UNREADABLE
    return isinstance(found, tuple)


def last_verdict(home: Path) -> dict[str, object]:
    """What the home says of the latest load."""
    verdict: dict[str, object] = json.loads((home / "snapshots" / "last-load.verdict.json").read_bytes())
    return verdict
