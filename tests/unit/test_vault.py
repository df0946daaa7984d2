"""What a worker opens, and how much of it it reads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from service.control.state import Activation
from service.errors import LayerRejected
from service.follower import Vault
from service.rights.model import Absence
from service.snapshot import folder as folder_module
from service.snapshot.catalog import Catalog
from service.snapshot.crashes import Crash, Crashes
from service.snapshot.seen import Notes
from service.snapshot.signing import read_draft
from tests.unit.snapshot.snapshot_maker import IDENTITY, NOW, PEPPER_KID, SnapshotMaker, conditions, contract, trust


class Node:
    """Snapshots 5, a base, and 6 and 7, deltas over it, all loaded."""

    def __init__(self, root: Path) -> None:
        maker, self.run = SnapshotMaker(root), root / "run"
        self.run.mkdir()
        self.catalog = Catalog(root / "snapshots", Notes(root / "verified"))
        self.catalog.take(maker.make(), conditions())
        for sequence, said in ((6, None), (7, (contract(member="M7"),))):
            delta = maker.make_delta(self.catalog.path(5), {IDENTITY: said}, str(sequence), sequence=sequence)
            self.catalog.take(delta, conditions(bases=self.catalog.path))

    def vault(self) -> Vault:
        """A new worker's."""
        return Vault(self.catalog, lambda _: trust(), lambda: {PEPPER_KID: b"p" * 32}, (), Crashes(self.run, 0))

    def order(self, sequence: int) -> Activation:
        return Activation(sequence, read_draft(self.catalog.path(sequence)).digest, 1, NOW)

    def crashed(self, sequence: int, times: int) -> None:
        """As workers leave it that were killed by it."""
        crash = Crash(NOW, self.order(sequence).digest, sequence, "Bus error")
        (self.run / "crashes.jsonl").write_bytes((msgspec.json.encode(crash) + b"\n") * times)


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


@pytest.fixture
def hashed(node: Node, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    names: list[str] = []
    parts: Callable[..., object] = folder_module.parts

    def noticed(name: str, *others: object) -> object:
        names.append(name)
        return parts(name, *others)

    monkeypatch.setattr(folder_module, "parts", noticed)
    return names


def test_a_worker_opens_what_was_loaded_without_hashing_it_again(node: Node, hashed: list[str]):
    snapshot, knowledge = node.vault().open(node.order(6), NOW)
    assert (snapshot.sequence, knowledge.snapshot, hashed) == (6, 6, [])
    assert snapshot.find(IDENTITY) is Absence.NO_RECORD
    snapshot.close()


def test_the_next_delta_is_opened_while_the_former_serves_over_the_same_base(node: Node):
    vault = node.vault()
    former, _ = vault.open(node.order(6), NOW)
    latter, _ = vault.open(node.order(7), NOW)
    base, _ = vault.open(node.order(5), NOW)
    assert former.find(IDENTITY) is Absence.NO_RECORD
    former.close()
    assert latter.find(IDENTITY) == (contract(member="M7"),)
    latter.close()
    assert base.find(IDENTITY) == (contract(),)
    base.close()


def test_what_killed_a_worker_is_hashed_at_its_next_opening_and_what_did_not_is_not(node: Node, hashed: list[str]):
    node.crashed(6, times=1)
    vault = node.vault()
    vault.open(node.order(7), NOW)[0].close()
    assert hashed == []
    vault.open(node.order(6), NOW)[0].close()
    assert hashed == ["records.lmdb", "records.lmdb"]
    vault.open(node.order(6), NOW)[0].close()
    assert len(hashed) == 2  # by this worker itself


def test_what_killed_three_is_not_opened_and_another_is(node: Node):
    node.crashed(6, times=3)
    vault = node.vault()
    with pytest.raises(LayerRejected, match="3 workers were killed"):
        vault.open(node.order(6), NOW)
    vault.open(node.order(5), NOW)[0].close()
