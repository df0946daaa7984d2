from __future__ import annotations

import datetime as dt
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from service.control import proposals as module
from service.control.fleet import FleetStore, Heartbeat
from service.control.format import ORDER_TYP
from service.control.proposals import (
    PROPOSAL_TYP,
    Proposal,
    ProposalStore,
    parse_proposal,
    proposal_members,
    proposal_payload,
)
from service.errors import Conflict, NotFound, SignatureRejected, StoreUnavailable
from service.jws import sign_compact
from tests.unit.control.control_chain import HOUR, KEY, KEYS, NOON, make_key


def proposal(number: int = 1, **members: Any) -> Proposal:
    known = {"actor": "cli:ann", "kind": "mode.set", "scope": "*", "body": {"mode": "live"}, "reason": "back"}
    more = {"at": NOON, "until": None, "ends": NOON + 24 * HOUR, "loosens": "everything would be live", "seen": 0}
    return Proposal(**{**known, **more, "id": f"018d5500-0000-7000-8000-{number:012d}", **members})


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    path = tmp_path / "fleet.db"
    FleetStore.create(path)
    return path


@pytest.fixture
def store(fleet: Path):
    with closing(ProposalStore(fleet, KEY, KEYS)) as opened:
        yield opened


def overwrite(fleet: Path, **columns: str) -> None:
    with closing(sqlite3.connect(fleet)) as connection, connection:
        for name, value in columns.items():
            connection.execute(f"UPDATE proposals SET {name} = ?", (value,))  # noqa: S608 - a test's own column


def rejected(waiting: Proposal) -> Proposal:
    return proposal(int(waiting.id[-12:]), state="rejected", decided_by="cli:bob", decided_reason="no")


def test_a_store_from_before_there_were_proposals_has_none(store: ProposalStore):
    assert store.all() == []
    with pytest.raises(NotFound):
        store.get(proposal().id)
    with pytest.raises(NotFound):
        store.decide(proposal().id, rejected)


def test_what_was_proposed_is_kept_as_it_was_beside_the_heartbeats(store: ProposalStore, fleet: Path):
    made = [proposal(2, until=NOON + HOUR), proposal(1)]
    for one in made:
        store.add(one, NOON)
    assert store.all() == [made[1], made[0]]
    assert store.get(made[0].id) == made[0]
    with closing(FleetStore(fleet)) as beats:
        beats.beat(Heartbeat("n", "rights", 1, 1, "", None, 0, NOON))
        assert len(beats.live(NOON)) == 1


def test_a_decision_takes_the_proposal_s_place(store: ProposalStore):
    store.add(proposal(), NOON)
    decided = store.decide(proposal().id, rejected)
    assert store.all() == [decided]
    assert (decided.state, decided.decided_by) == ("rejected", "cli:bob")


def test_an_id_that_names_none_decides_none(store: ProposalStore):
    store.add(proposal(), NOON)
    for name in ("", " ", "%", "018d5500"):
        with pytest.raises(NotFound):
            store.get(name)
        with pytest.raises(NotFound):
            store.decide(name, rejected)
    assert store.all() == [proposal()]


def test_a_decision_that_fails_changes_nothing(store: ProposalStore):
    store.add(proposal(), NOON)

    def work(_: Proposal) -> Proposal:
        raise Conflict("changed since")

    with pytest.raises(Conflict):
        store.decide(proposal().id, work)
    assert store.get(proposal().id) == proposal()


def other_key() -> str:
    return sign_compact(proposal_payload(proposal()), PROPOSAL_TYP, make_key())


def other_type() -> str:
    return sign_compact(proposal_payload(proposal()), ORDER_TYP, KEY)


def other_id() -> str:
    return sign_compact(proposal_payload(proposal(2)), PROPOSAL_TYP, KEY)


def garbage() -> str:
    return "x"


@pytest.mark.parametrize("forged", [other_key, other_type, other_id, garbage])
def test_what_its_author_did_not_sign_is_neither_shown_nor_decided(store: ProposalStore, fleet: Path, forged: Any):
    store.add(proposal(), NOON)
    overwrite(fleet, jws=forged())
    assert store.all() == []
    with pytest.raises(Conflict, match="tampered"):
        store.get(proposal().id)
    with pytest.raises(Conflict, match="tampered"):
        store.decide(proposal().id, rejected)


def test_a_former_order_key_s_proposals_still_count(fleet: Path):
    former = make_key()
    with closing(ProposalStore(fleet, former, KEYS)) as before:
        before.add(proposal(), NOON)
    with closing(ProposalStore(fleet, KEY, {former.kid: former.public, **KEYS})) as now:
        assert now.all() == [proposal()]


def test_too_many_are_refused_and_those_over_make_room(store: ProposalStore, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "MOST_WAITING", 2)
    store.add(proposal(1), NOON)
    store.add(proposal(2), NOON)
    with pytest.raises(Conflict):
        store.add(proposal(3), NOON)
    store.decide(proposal(1).id, rejected)
    store.add(proposal(3), NOON)
    store.add(proposal(4, ends=NOON + 48 * HOUR), NOON + 24 * HOUR)
    assert len(store.all()) == 4


def test_of_what_is_past_the_latest_stay(store: ProposalStore, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "MOST_PAST", 1)
    for number in (1, 2, 3):
        store.add(proposal(number), NOON)
    for number in (1, 2):
        store.decide(proposal(number).id, rejected)
    store.add(proposal(4), NOON)
    assert [int(one.id[-12:]) for one in store.all()] == [2, 3, 4]


def test_a_store_that_is_gone_shows_no_empty_list(store: ProposalStore, fleet: Path):
    fleet.unlink()
    for attempt in (store.all, lambda: store.add(proposal(), NOON), lambda: store.get("x")):
        with pytest.raises(StoreUnavailable):
            attempt()


def test_a_payload_has_one_form_only():
    payload = proposal_payload(proposal())
    assert parse_proposal(payload) == proposal()
    for other in (
        payload + b" ",
        b"[]",
        payload.replace(b'"seen":0', b'"seen":0.0'),
        payload.replace(b'"id"', b'"ix"'),
    ):
        with pytest.raises(SignatureRejected):
            parse_proposal(other)


def test_for_a_machine_instants_are_text():
    shown = proposal_members(proposal(until=NOON + dt.timedelta(microseconds=1000)))
    assert (shown["at"], shown["until"]) == ("2024-01-29T12:00:00.000Z", "2024-01-29T12:00:00.001Z")
    assert (shown["state"], shown["decided_at"], shown["seen"]) == ("waiting", None, 0)
