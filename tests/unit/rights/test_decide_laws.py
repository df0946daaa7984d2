"""Laws of the decision, on people, policies and days drawn at random around the edges of the rules."""

from __future__ import annotations

import datetime as dt
import itertools
from typing import Any

import msgspec
import orjson
from hypothesis import given
from hypothesis import strategies as st

from service.rights.decide import Decision, decide
from service.rights.model import Absence, Contract, Knowledge, Mode, OnUnknown, Query, SourceKind, Stance, Status
from service.rights.reasons import Reason
from service.rights.render import render
from tests.unit.rights.rights_cases import GUARANTEE, ONE, OTHER, TWO, amc, at, contract, day, knowing, query, suspended

World = tuple[tuple[Contract, ...], Query, Knowledge, Stance, dt.datetime]
OPEN, UNKNOWN, CLOSED = Status.OPEN, Status.UNKNOWN, Status.CLOSED
near = st.integers(-70, 70)
edge = st.sampled_from([-61, -60, -31, -30, -3, -2, -1, 0, 1, 2, 3, 30, 31])
days = st.one_of(edge, near)
few = st.integers(0, 5)


def maybe(strategy: st.SearchStrategy[Any]):
    return st.one_of(st.none(), strategy)


@st.composite
def contracts(draw: st.DrawFn):
    start = draw(days)
    end = draw(maybe(days.map(lambda offset: day(max(offset, start)))))
    holes = draw(st.lists(st.tuples(days, maybe(few)), max_size=2))
    return contract(
        draw(st.sampled_from([ONE, ONE, TWO, OTHER])),
        member=draw(st.sampled_from(["A", "B"])),
        csr=draw(st.sampled_from(["", "X", "Y"])),
        payer_rank=draw(st.integers(1, 2)),
        valid_from=day(start),
        valid_to=end,
        card_valid_to=draw(maybe(days.map(day))),
        closed_on=draw(maybe(days.map(day))),
        suspended=tuple(suspended(since, None if last is None else since + last) for since, last in holes),
        domains=draw(st.sampled_from([(), ("PHAR",), ("HOSP", "PHAR"), ("HOSP",)])),
        rates=draw(st.dictionaries(st.sampled_from(["PH4", "PH7"]), st.integers(0, 100))),
    )


@st.composite
def amcs(draw: st.DrawFn, number: str | None):
    return amc(
        number,
        extracted=draw(st.integers(-3, 0)),
        allowed=draw(st.integers(0, 9)) > 0,
        renewal_grace_days=draw(st.sampled_from([0, 1, 30])),
        closed_trust_days=draw(st.sampled_from([0, 2, 30])),
        max_age_days=draw(st.sampled_from([1, 5, 90])),
        on_unknown=draw(st.sampled_from(OnUnknown)),
        history_days=draw(st.sampled_from([0, 1, 60])),
        guarantee=draw(st.sampled_from([None, GUARANTEE])),
    )


records = st.lists(contracts(), max_size=4).map(tuple)
knowledge = st.builds(
    lambda one, two, kind, until: knowing(one, two, kind=kind, valid_until=at(until)),
    amcs(ONE),
    amcs(TWO),
    st.sampled_from([SourceKind.SNAPSHOT, SourceKind.SNAPSHOT, SourceKind.CACHE, SourceKind.UPSTREAM]),
    st.sampled_from([7, 45]),
)
queries = st.builds(
    lambda offset, number, benefits: query(offset, amc=number, benefits=benefits),
    days,
    st.sampled_from([None, ONE, TWO, OTHER, "0088888888"]),
    st.sampled_from([(), ("PH7",), ("PH2", "PH7")]),
)
stances = st.builds(
    Stance,
    mode=st.sampled_from(Mode),
    excluded=st.sampled_from([frozenset(), frozenset(), frozenset({TWO})]),
    clock_suspect=st.integers(0, 9).map(lambda roll: roll == 0),
    upstream_failed=st.booleans(),
    pinned=st.booleans(),
)
instants = st.floats(0, 50, allow_nan=False).map(at)
worlds = st.tuples(records, queries, knowledge, stances, instants)


def by_content(decision: Decision):
    """The statuses of each contract shown; equal contracts together."""
    found = {}
    for judged in decision.contracts:
        found.setdefault(msgspec.msgpack.encode(judged.contract, order="deterministic"), []).append(judged)
    return found


@given(st.one_of(st.sampled_from(Absence), st.just(())), queries, knowledge, stances, instants)
def test_never_closed_without_a_record(record: Any, asked: Query, known: Knowledge, stance: Stance, now: dt.datetime):
    assert decide(record, asked, known, stance, now).status is UNKNOWN


@given(worlds)
def test_never_closed_without_an_amc_asked_for(world: World):
    record, asked, *rest = world
    assert decide(record, msgspec.structs.replace(asked, amc=None), *rest).status is not CLOSED


@given(worlds, st.floats(0, 50, allow_nan=False))
def test_time_passing_never_turns_unknown_into_closed(world: World, later: float):
    *rest, now = world
    before, after = decide(*rest, now), decide(*rest, now + dt.timedelta(days=later))
    assert not (before.status is UNKNOWN and after.status is CLOSED)
    unknown = {key for key, judged in by_content(before).items() if any(j.status is UNKNOWN for j in judged)}
    closed = {key for key, judged in by_content(after).items() if any(j.status is CLOSED for j in judged)}
    assert not unknown & closed


@given(worlds)
def test_the_order_of_contracts_never_changes_the_answer(world: World):
    record, asked, known, *rest = world
    answers = [
        decide(tuple(order), asked, known, *rest) for order in itertools.islice(itertools.permutations(record), 24)
    ]
    assert len({orjson.dumps(render(answer, known), option=orjson.OPT_SORT_KEYS) for answer in answers}) == 1
    assert len({answer.counter_text for answer in answers}) == 1


@given(worlds)
def test_contracts_are_shown_open_unknown_closed_then_by_payer_amc_and_member(world: World):
    position = [OPEN, UNKNOWN, CLOSED].index
    keys = [
        (position(judged.status), judged.contract.payer_rank, judged.contract.amc, judged.contract.member)
        for judged in decide(*world).contracts
    ]
    assert keys == sorted(keys)


@given(worlds)
def test_an_open_contract_is_never_hidden_by_another(world: World):
    record, asked, *rest = world
    together = decide(record, asked, *rest)
    for one in record:
        alone = decide((one,), asked, *rest)
        if alone.status is OPEN:
            key = msgspec.msgpack.encode(one, order="deterministic")
            for judged in by_content(together)[key]:
                excused = {Reason.IDENTITY_AMBIGUOUS, Reason.RENEWAL_UNKNOWN} & set(judged.reasons)
                assert judged.status is OPEN or excused
    assert (together.status is OPEN) == any(judged.status is OPEN for judged in together.contracts)


@given(worlds)
def test_expired_means_no_contract_shown(world: World):
    record, asked, known, stance, now = world
    decision = decide(record, asked, known, stance, now)
    if now > known.valid_until:
        assert (decision.status, decision.contracts) == (UNKNOWN, ())
        assert Reason.SNAPSHOT_EXPIRED in decision.reasons
    else:
        assert Reason.SNAPSHOT_EXPIRED not in decision.reasons


@given(worlds)
def test_nothing_is_closed_while_the_clock_is_suspect(world: World):
    record, asked, known, stance, now = world
    decision = decide(record, asked, known, msgspec.structs.replace(stance, clock_suspect=True), now)
    assert CLOSED not in {decision.status, *(judged.status for judged in decision.contracts)}


@given(worlds)
def test_only_contracts_of_the_amc_asked_for_are_shown_and_each_of_them(world: World):
    record, asked, known, stance, now = world
    decision = decide(record, asked, known, stance, now)
    shown = [judged.contract for judged in decision.contracts]
    if now > known.valid_until or (asked.amc is not None and asked.amc not in known.amcs):
        assert shown == []
    else:
        wanted = [one for one in record if asked.amc in {None, one.amc}]
        key = msgspec.msgpack.Encoder(order="deterministic").encode
        assert sorted(shown, key=key) == sorted(wanted, key=key)


@given(worlds)
def test_an_answer_names_every_reason_of_its_contracts(world: World):
    decision = decide(*world)
    assert {reason for judged in decision.contracts for reason in judged.reasons} <= set(decision.reasons)
    assert all(judged.reasons for judged in decision.contracts if judged.status is not OPEN)
