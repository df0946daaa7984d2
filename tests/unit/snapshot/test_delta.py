"""A delta answers, over its base, exactly as the base built anew from the new rows would: for everybody."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.base64url import sha256_b64u
from service.errors import BuildError
from service.identifiers import amc_identity, nir_identity
from service.jws import unverified_payload
from service.rights.model import Absence
from service.snapshot.build import build_snapshot
from service.snapshot.difference import Changes
from service.snapshot.entries import Entry
from service.snapshot.manifest import Manifest, parse_manifest
from service.snapshot.plan import Built
from service.snapshot.records import Layer, Layered, RecordStore
from service.snapshot.seal import LayerKey
from stubs.insurers import policy_toml
from stubs.population import Population
from tests.unit.snapshot.made_rows import NOW, PEPPER, POLICY, ndjson, nir_of, plan, row

Rows = list[dict[str, Any]]
OTHER_PEPPER = b"another pepper of thirty-two bytes"


def build(folder: Path, name: str, rows: Rows, sequence: int = 1, **changes: Any) -> Built:
    where = folder / f"{name}-sources"
    where.mkdir()
    text = changes.pop("policy_text", POLICY)
    built_plan = plan(where, ndjson(rows), out=folder / name, sequence=sequence, **changes)
    built_plan.policy.write_text(text, "utf-8")
    return build_snapshot(built_plan, NOW)


def manifest_of(folder: Path) -> Manifest:
    return parse_manifest(unverified_payload((folder / "manifest.json").read_bytes()))


def layer(folder: Path, pepper: bytes = PEPPER) -> Layer:
    return Layer(folder / "records.lmdb", LayerKey(pepper, manifest_of(folder).salt_bytes))


def stores(folder: Path) -> tuple[RecordStore, RecordStore]:
    """The delta over its base, and the base built anew."""
    base = layer(folder / "base")
    over = Layered(layer(folder / "delta"), base) if manifest_of(folder / "delta").files else base
    return over, layer(folder / "anew")


def identities(*deliveries: Rows) -> set[str]:
    named = set()
    for one in (one for rows in deliveries for one in rows):
        date = one["birth_date"]
        named.add(nir_identity(one["nir"][:13], date, one["birth_rank"]))
        named.add(amc_identity(one["amc"].zfill(10), one["member"], date, one["birth_rank"]))
    return named


def same_for_everybody(folder: Path, *deliveries: Rows) -> int:
    over, anew = stores(folder)
    asked = identities(*deliveries)
    for identity in asked:
        assert over.find(identity) == anew.find(identity)
        one, other = over.lookup(identity), anew.lookup(identity)
        if isinstance(other, Entry):
            assert one == other  # the canary's flag included
    over.close()
    anew.close()
    return len(asked)


def whole(manifest: Manifest) -> Any:
    """What a manifest says of all the data, whatever its kind."""
    return msgspec.structs.replace(manifest.counts, entries=0), manifest.amcs


def changed(chance: random.Random, one: dict[str, Any]) -> dict[str, Any]:
    """A row as the next extract may bring it."""
    bent: Callable[[], dict[str, Any]] = chance.choice(
        [
            lambda: {"closed_on": "2024-01-02"},
            lambda: {"csr": "MOVED"},
            lambda: {"member": "NEW" + one["member"][:10]},
            lambda: {"suspended": [["2024-01-01", None]]},
            lambda: {"birth_rank": one["birth_rank"] + 1},
            lambda: {"rates": {"PH7": 65}},
        ]
    )
    return {**one, **bent()}


def test_base_and_delta_answer_as_the_base_built_anew_for_every_person(tmp_path: Path):
    """A few thousand people; of the new rows a tenth changed, some are gone, some are new, the order is another."""
    chance = random.Random(4)  # noqa: S311 - the same changes in every run
    population = [orjson.loads(orjson.dumps(one)) for one in Population(3000, 1, NOW.date()).rows()]
    old, strangers = population[:3000], population[3000:]
    new = [changed(chance, one) if chance.random() < 0.1 else one for one in old if chance.random() > 0.03] + strangers
    chance.shuffle(new)
    policy = policy_toml(NOW)
    built = build(tmp_path, "base", old, policy_text=policy)
    delta = build(tmp_path, "delta", new, 2, base=tmp_path / "base", policy_text=policy)
    anew = build(tmp_path, "anew", new, 2, policy_text=policy)
    assert same_for_everybody(tmp_path, old, new) > 6000
    assert whole(delta.manifest) == whole(anew.manifest)
    assert delta.changes is not None
    assert 0 < delta.changes.gone < delta.changes.changed < built.manifest.counts.entries // 2
    assert delta.manifest.counts.entries == delta.changes.gone + delta.changes.changed
    made = layer(tmp_path / "delta")
    assert made.entries == delta.manifest.counts.entries
    made.close()


def a_row(person: int, insurer: int, member: int, csr: int) -> dict[str, Any]:
    amc = ("0775671993", "0012345678")[insurer]
    return row(nir=nir_of(person), amc=amc, member=f"M{member}", csr=f"C{csr}", payer_rank=1 + insurer)


worlds = st.lists(
    st.builds(a_row, st.integers(0, 5), st.integers(0, 1), st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=9
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(worlds, worlds, worlds, worlds)
def test_whatever_changes_a_delta_makes_up_for_it(
    tmp_path_factory: pytest.TempPathFactory, old: Rows, new: Rows, old_canaries: Rows, new_canaries: Rows
):
    folder = tmp_path_factory.mktemp("world")
    planted, replanted = folder / "planted", folder / "replanted"
    planted.write_bytes(ndjson(old_canaries))
    replanted.write_bytes(ndjson(new_canaries))
    build(folder, "base", old, canaries=planted)
    delta = build(folder, "delta", new, 2, base=folder / "base", canaries=replanted)
    anew = build(folder, "anew", new, 2, canaries=replanted)
    same_for_everybody(folder, old, new, old_canaries, new_canaries)
    assert whole(delta.manifest) == whole(anew.manifest)


def test_who_is_gone_has_no_record_and_who_returns_has_one_again(tmp_path: Path):
    here, away = row(), row(nir=nir_of(1), member="M1")
    build(tmp_path, "base", [here, away])
    first = build(tmp_path, "delta", [here], 2, base=tmp_path / "base")
    assert first.changes == Changes(changed=0, gone=2)
    over = Layered(layer(tmp_path / "delta"), layer(tmp_path / "base"))
    for identity in identities([away]):
        assert over.find(identity) is Absence.NO_RECORD
        assert over.lookup(identity) == Entry((), deleted=True)
    over.close()
    # Cumulative: the second delta lies over the same base and stands alone.
    second = build(tmp_path, "second", [here, {**away, "csr": "BACK"}], 3, base=tmp_path / "base")
    assert second.changes == Changes(changed=2, gone=0)
    over = Layered(layer(tmp_path / "second"), layer(tmp_path / "base"))
    for identity in identities([away]):
        found = over.find(identity)
        assert not isinstance(found, Absence)
        assert [contract.csr for contract in found] == ["BACK"]
    over.close()


def test_the_difference_is_by_entry_not_by_person(tmp_path: Path):
    """A second insurer changes the entry by NIR and adds one; the entry of the first insurer's member is as it was."""
    build(tmp_path, "base", [row()])
    delta = build(tmp_path, "delta", [row(), row(amc="0012345678", payer_rank=2)], 2, base=tmp_path / "base")
    assert delta.changes == Changes(changed=2, gone=0)


def test_whoever_becomes_a_canary_or_ceases_to_be_one_is_a_change(tmp_path: Path):
    planted = tmp_path / "planted"
    planted.write_bytes(ndjson([row(nir=nir_of(7), member="M7")]))
    build(tmp_path, "base", [row()], canaries=planted)
    others = [row(), row(nir=nir_of(7), member="M7")]
    delta = build(tmp_path, "delta", others, 2, base=tmp_path / "base")
    assert delta.changes == Changes(changed=2, gone=0)
    build(tmp_path, "anew", others, 2)
    same_for_everybody(tmp_path, others)


def test_nothing_new_is_an_empty_delta_under_new_dates(tmp_path: Path):
    rows = [row(), row(nir=nir_of(1))]
    base = build(tmp_path, "base", rows)
    delta = build(tmp_path, "delta", rows[::-1], 2, base=tmp_path / "base", valid_for_days=3)
    assert [entry.name for entry in (tmp_path / "delta").iterdir()] == ["manifest.json"]
    manifest = delta.manifest
    assert (manifest.kind, manifest.files, manifest.salt, manifest.counts.entries) == ("delta", (), None, 0)
    assert whole(manifest) == whole(base.manifest)
    assert delta.changes == Changes()


def test_a_delta_names_its_base_by_the_digest_of_what_was_signed(tmp_path: Path):
    build(tmp_path, "base", [row()], 5)
    manifest = build(tmp_path, "delta", [row(csr="NEW")], 9, base=tmp_path / "base").manifest
    payload = unverified_payload((tmp_path / "base" / "manifest.json").read_bytes())
    assert manifest.base is not None
    assert (manifest.base.sequence, manifest.base.sha256) == (5, sha256_b64u(payload))
    assert manifest.salt not in (None, manifest_of(tmp_path / "base").salt)


def test_a_delta_may_be_sealed_under_another_pepper_than_its_base(tmp_path: Path):
    build(tmp_path, "base", [row(), row(nir=nir_of(1))], pepper_kid="old", pepper=OTHER_PEPPER)
    delta = build(
        tmp_path,
        "delta",
        [row(csr="NEW")],
        2,
        base=tmp_path / "base",
        peppers={"old": OTHER_PEPPER, "pepper-1": PEPPER},
    )
    assert delta.manifest.pepper_kid == "pepper-1"
    over = Layered(layer(tmp_path / "delta"), layer(tmp_path / "base", OTHER_PEPPER))
    found = over.find(nir_identity(row()["nir"][:13], "1985-05-12", 1))
    assert not isinstance(found, Absence)
    assert found[0].csr == "NEW"
    assert over.find(nir_identity(nir_of(1), "1985-05-12", 1)) is Absence.NO_RECORD
    over.close()


def test_a_delta_has_entries_by_member_where_its_base_has(tmp_path: Path):
    rows = [row(), row(nir=nir_of(1), member="M1")]
    build(tmp_path, "base", rows, member_entries=False)
    delta = build(tmp_path, "delta", rows[:1], 2, base=tmp_path / "base")
    assert delta.changes == Changes(changed=0, gone=1)
    build(tmp_path, "whole", rows)
    with pytest.raises(BuildError, match="leave --no-member-entries out"):
        build(tmp_path, "partial", rows, 2, base=tmp_path / "whole", member_entries=False)
    assert not (tmp_path / "partial").exists()


def refused(folder: Path, message: str, **changes: Any) -> None:
    values: dict[str, Any] = {"sequence": 3, "base": folder / "base", **changes}
    with pytest.raises(BuildError, match=message):
        build(folder, "refused", [row()], **values)
    left = {entry.name for entry in folder.iterdir()} - {"refused-sources"}
    assert left <= {"base", "base-sources", "delta", "delta-sources"}


def test_a_base_that_is_none_is_refused(tmp_path: Path):
    build(tmp_path, "base", [row()], 2)
    build(tmp_path, "delta", [row(csr="NEW")], 3, base=tmp_path / "base")
    refused(tmp_path, "is a delta: name its base, the snapshot of sequence 2", base=tmp_path / "delta", sequence=4)


def test_a_base_that_is_not_there_is_refused(tmp_path: Path):
    refused(tmp_path, "refused at step 1 size|refused at step")


@pytest.mark.parametrize("sequence", [1, 2])
def test_a_delta_follows_its_base(tmp_path: Path, sequence: int):
    build(tmp_path, "base", [row()], 2)
    refused(tmp_path, f"sequence {sequence} does not follow that of the base, 2", sequence=sequence)


def test_a_base_with_one_bit_flipped_is_refused(tmp_path: Path):
    build(tmp_path, "base", [row()], 2)
    data = tmp_path / "base" / "records.lmdb"
    content = bytearray(data.read_bytes())
    content[-1] ^= 1
    data.chmod(0o644)
    data.write_bytes(content)
    refused(tmp_path, "SHA-256")


def test_a_base_under_a_pepper_that_is_not_held_is_refused(tmp_path: Path):
    build(tmp_path, "base", [row()], 2, pepper_kid="lost", pepper=OTHER_PEPPER)
    refused(tmp_path, "sealed under pepper lost, which is not held here")


def test_a_base_under_another_pepper_of_the_same_name_is_refused(tmp_path: Path):
    build(tmp_path, "base", [row()], 2, pepper=OTHER_PEPPER)
    refused(tmp_path, "the probe does not open")


def test_a_delivery_of_nothing_is_no_delta(tmp_path: Path):
    build(tmp_path, "base", [row()], 2)
    with pytest.raises(BuildError, match="no contract to keep"):
        build(tmp_path, "delta", [row(nir="2555555123030")], 3, base=tmp_path / "base")
