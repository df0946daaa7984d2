"""Moved records: a sealed value where another belongs, correctly hashed and signed. It is nobody's rights.

Whoever can have such a file signed cannot make one person answer for another: key and nonce of a record come from the
identity and the layer, so a moved value does not open. It is `record_unreadable`, an alarm, and not "no record".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from service.rights.model import Absence
from tests.attacks.forge import Forge, encoded_json
from tests.attacks.victim import Victim
from tests.fleet import Installation, free_ports

Records = dict[bytes, bytes]


def identity(row: dict[str, Any]) -> str:
    return f"nir|{row['nir'][:13]}|{row['birth_date']}|{row['birth_rank']}"


def another_record_key(forge: Forge, second: Path, first: Path, one: str, other: str) -> Records:
    """The value of one person at the place of another, in the same layer."""
    key = forge.layer_key(second)
    records = forge.records(second)
    return {**records, key.derive(one)[:16]: records[key.derive(other)[:16]]}


def another_layer(forge: Forge, second: Path, first: Path, one: str, other: str) -> Records:
    """The value of the same person from yesterday's layer, at its place in today's."""
    was = forge.records(first)[forge.layer_key(first).derive(one)[:16]]
    return {**forge.records(second), forge.layer_key(second).derive(one)[:16]: was}


def the_probe(forge: Forge, second: Path, first: Path, one: str, other: str) -> Records:
    """The layer's probe at the place of a person."""
    key = forge.layer_key(second)
    records = forge.records(second)
    return {**records, key.derive(one)[:16]: records[key.derive("probe|relais-layer-1")[:16]]}


def cut_short(forge: Forge, second: Path, first: Path, one: str, other: str) -> Records:
    key = forge.layer_key(second).derive(one)[:16]
    records = forge.records(second)
    return {**records, key: records[key][:15]}


def emptied(forge: Forge, second: Path, first: Path, one: str, other: str) -> Records:
    return {**forge.records(second), forge.layer_key(second).derive(one)[:16]: b""}


MOVES = (another_record_key, another_layer, the_probe, cut_short, emptied)


@pytest.mark.parametrize("move", MOVES, ids=lambda move: move.__name__)
def test_a_record_that_is_not_its_own_is_unreadable(
    victim: Victim, forge: Forge, first: Path, second: Path, people: list[str], move: Callable[..., Records]
):
    one, other, *rest = people
    folder = forge.write_records(forge.copy(second), move(forge, second, first, one, other))
    victim.takes(folder, 2)
    found = victim.find([one, other, *rest[:20]])
    assert found.pop(one) is Absence.UNREADABLE
    assert found == victim.find([other, *rest[:20]], sequence=1)


def test_a_record_of_yesterday_at_its_old_key_is_found_by_nobody(
    victim: Victim, forge: Forge, first: Path, second: Path, people: list[str]
):
    """Record keys differ in every layer: the copy lies there, and no identity leads to it."""
    one = people[0]
    old = forge.layer_key(first).derive(one)[:16]
    records = {**forge.records(second), old: forge.records(first)[old]}
    del records[forge.layer_key(second).derive(one)[:16]]
    victim.takes(forge.write_records(forge.copy(second), records), 2)
    assert victim.find([one]) == {one: Absence.NO_RECORD}


def test_a_record_moved_from_a_base_into_its_delta_is_unreadable_and_never_the_base(
    victim: Victim, forge: Forge, first: Path, people: list[str]
):
    """Yesterday's rights at the place where today's delta says that they changed."""
    changed, other, gone, *_ = people
    demo = victim.home / "demo"
    rows = [json.loads(line) for line in (demo / "rows.ndjson").read_bytes().splitlines()]
    for row in rows:
        if identity(row) == changed:
            row["domains"] = ["OPTI"]
    source = forge.room / "rows.ndjson"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows if identity(row) != gone))
    folder = forge.room / "delta"
    words = ("--source", source, "--policy", demo / "policy.toml", "--sequence", "2", "--base", first)
    assert victim.relais("snapshot", "build", *words, "--out", folder).status == 0
    forge.sign(folder, encoded_json(forge.payload(folder)))
    base, over = forge.layer_key(first), forge.layer_key(folder)
    places = {person: over.place(base.derive(person)[:16])[:16] for person in (changed, gone)}
    records, was = forge.records(folder), forge.records(first)
    assert places.keys() == {person for person, place in places.items() if place in records}

    bent = forge.copy(folder, "bent")
    moved = {places[person]: was[base.derive(person)[:16]] for person in (changed, gone)}
    victim.takes(forge.write_records(bent, {**records, **moved}), 2)
    truth = victim.find([other], sequence=1)
    assert victim.find([changed, gone]) == {changed: Absence.UNREADABLE, gone: Absence.UNREADABLE}
    assert victim.find([other]) == truth
    victim.takes(forge.rewrite(forge.copy(folder, "whole"), sequence=3), 3)
    assert victim.find([gone]) == {gone: Absence.NO_RECORD}
    assert isinstance(victim.find([changed])[changed], tuple)


def test_a_moved_probe_is_refused(victim: Victim, forge: Forge, first: Path, second: Path):
    """The probe of another layer, at this one's place for it."""
    probe = "probe|relais-layer-1"
    records = forge.records(second)
    records[forge.layer_key(second).derive(probe)[:16]] = forge.records(first)[
        forge.layer_key(first).derive(probe)[:16]
    ]
    victim.refuses(
        forge.write_records(forge.copy(second), records),
        "8 pepper and probe",
        f"the probe to open under pepper {forge.payload(second)['pepper_kid']}",
        "the probe does not open: another pepper, another salt, or a damaged layer",
    )
    victim.takes(second, 2)


@pytest.fixture
def served(victim: Victim) -> Iterator[Installation]:
    """The same home behind a real server of one worker."""
    rights, admin = free_ports(2)
    made = Installation(victim.home, ports={"rights": rights, "admin": admin})
    try:
        made.start("rights", workers=1)
        yield made
    finally:
        made.close()


def test_moved_records_answer_unknown_and_raise_an_alarm(
    served: Installation, victim: Victim, forge: Forge, first: Path, second: Path
):
    """Through a worker: a person whose record was moved is unknown; neither another's rights nor "not insured"."""
    asked = {
        identity(row): {"beneficiary": {name: row[name] for name in ("nir", "birth_date", "birth_rank")}}
        for row in served.rows()[:40]
    }
    before = {person: served.ask(query).json()["answer"] for person, query in asked.items()}
    insured = [person for person, answer in before.items() if answer["status"] == "open"]
    one, other, third, fourth = insured[:4]
    key = forge.layer_key(second)
    places = {person: key.derive(person)[:16] for person in insured}
    records = forge.records(second)
    records[places[one]], records[places[other]] = records[places[other]], records[places[one]]
    records[places[third]] = forge.records(first)[forge.layer_key(first).derive(third)[:16]]
    victim.takes(forge.write_records(forge.copy(second), records), 2)
    for person, query in asked.items():
        answer = served.ask(query).json()["answer"]
        assert answer["source"]["snapshot"] == 2
        if person in (one, other, third):
            assert (answer["status"], answer["contracts"]) == ("unknown", [])
            assert "record_unreadable" in answer["reasons"]
            assert "beneficiary_unknown" not in answer["reasons"]
        else:
            assert (answer["status"], answer["contracts"]) == (before[person]["status"], before[person]["contracts"])
    assert served.ask(asked[fourth]).json()["answer"]["status"] == "open"
    ready = served.request("GET", "/readyz")
    assert (ready.status, [one["code"] for one in ready.json()["reasons"]]) == (200, ["record_unreadable"])
    victim.takes(forge.rewrite(forge.copy(second), sequence=3), 3)
    assert served.ask(asked[one]).json()["answer"]["status"] == "open"
    assert served.stop("rights") == 0
