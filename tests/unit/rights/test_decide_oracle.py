"""The product's decisions against the oracle's, on ten thousand small worlds around every boundary of the table."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, NamedTuple

import pytest

from service.rights import decide, render
from tests.oracles import decision, product, table, worlds

Json = dict[str, Any]
SEEDS = range(10_000)
HITS = 20
ROWS = {  # every way out of the table
    *(("2", "amc_excluded"), ("3", "too_old"), ("5a", "suspension_may_have_ended"), ("7", "domain_not_listed")),
    *(("8", ""), ("10", "presumed_renewed"), ("11", "renewal_unknown")),
    *((row, reason) for row in ("4", "5b", "6", "9") for reason in ("history_not_kept", "closed_untrusted")),
    *(("4", "terminated"), ("5b", "rights_suspended"), ("6", "not_started"), ("9", "lapsed")),
}


class Played(NamedTuple):
    seed: int
    world: Json
    expected: Json


@pytest.fixture(scope="module")
def played() -> list[Played]:
    made = ((seed, worlds.world(seed)) for seed in SEEDS)
    return [Played(seed, world, comparable(decision.answer(**world))) for seed, world in made]


def ours(world: Json) -> Json:
    record, query, knowledge, stance, now = product.as_product(world)
    return render.render(decide.decide(record, query, knowledge, stance, now), knowledge)


def comparable(answer: Json) -> Json:
    """The answer with reasons in one order (they are sets), and so for contracts that the sorting rule leaves equal."""
    contracts = [contract | {"reasons": sorted(contract["reasons"])} for contract in answer["contracts"]]
    for start, one in enumerate(contracts):
        same = [other for other in contracts[start:] if rank(other) == rank(one)]
        if contracts[start : start + len(same)] == same:
            contracts[start : start + len(same)] = sorted(same, key=lambda each: json.dumps(each, sort_keys=True))
    return answer | {"reasons": sorted(answer["reasons"]), "contracts": contracts}


def rank(contract: Json) -> Json:
    """What the order of contracts goes by, as far as it is shown."""
    return [contract.get(name) for name in ("status", "payer_rank", "amc", "member")]


def differing(expected: Json, found: Json) -> list[str]:
    return sorted(key for key in expected.keys() | found.keys() if expected.get(key) != found.get(key))


def listed(title: str, value: Json | list[Json]) -> list[str]:
    """A title, then a line of JSON for each part."""
    parts = value.items() if isinstance(value, dict) else enumerate(value)
    return [title, *(f"  {key}: {json.dumps(part, ensure_ascii=False)}" for key, part in parts)]


def counterexample(case: Played, found: Json) -> str:
    """All that is needed to decide by hand who is right."""
    keys, world = differing(case.expected, found), case.world
    lines = [f"seed {case.seed} differs in {', '.join(keys)}; now = {world['now']}, record:"]
    lines += [world["record"]] if isinstance(world["record"], str) else listed("", world["record"])[1:]
    for name in ("query", "stance"):
        lines += listed(name, world[name])
    lines += listed("knowledge", {key: part for key, part in world["knowledge"].items() if key != "amcs"})
    lines += listed("amcs", world["knowledge"]["amcs"])
    lines += listed("oracle", {key: case.expected.get(key) for key in keys})
    lines += listed("product", {key: found.get(key) for key in keys})
    return "\n".join(lines)


def test_product_and_oracle_agree(played: list[Played]) -> None:
    wrong = []
    for case in played:
        found = comparable(ours(case.world))
        if found != case.expected:
            wrong.append((case, found))
    if wrong:
        kinds = Counter(", ".join(differing(case.expected, found)) for case, found in wrong)
        simplest = min(wrong, key=lambda pair: len(json.dumps(pair[0].world["record"])))
        summary = "; ".join(f"{count} in {keys}" for keys, count in kinds.most_common())
        pytest.fail(f"{len(wrong)} of {len(played)} worlds differ: {summary}\n{counterexample(*simplest)}")


def test_the_worlds_reach_every_reason(played: list[Played]) -> None:
    hits = Counter(reason for case in played for reason in case.expected["reasons"])
    assert set(hits) == set(decision.REASONS)
    assert {reason for reason, count in hits.items() if count < HITS} == set()


def test_the_worlds_reach_every_row(played: list[Played]) -> None:
    hits: Counter[tuple[str, str]] = Counter()
    for case in played:
        if "snapshot_expired" not in case.expected["reasons"] and isinstance(case.world["record"], list):
            rest = {key: value for key, value in case.world.items() if key != "record"}
            judged = [table.judge(contract, **rest) for contract in case.world["record"]]
            hits.update((one.row, "".join(one.reasons)) for one in judged)
    assert set(hits) == ROWS
    assert {row for row, count in hits.items() if count < HITS} == set()


def test_the_worlds_reach_every_rule_across_contracts(played: list[Played]) -> None:
    hits: Counter[str] = Counter()
    for case in played:
        if isinstance(case.world["record"], list):
            settled = table.settle(case.world["record"], *[case.world[key] for key in list(case.world)[1:]])
            hits.update("insurer changed" for one in settled if (one.row, one.reasons) == ("10", ["renewal_unknown"]))
            hits.update(f"twin by row {one.row}" for one in settled if one.reasons == ["identity_ambiguous"])
            hits.update(f"clock, row {one.row}" for one in settled if one.reasons == ["clock_suspect"])
    assert hits["insurer changed"] >= HITS
    assert {hits[f"twin by row {row}"] >= HITS for row in ("4", "5b", "8")} == {True}
    assert {hits[f"clock, row {row}"] >= HITS for row in ("4", "5b", "6", "9")} == {True}


def test_the_worlds_reach_every_status_and_advice(played: list[Played]) -> None:
    statuses = Counter(case.expected["status"] for case in played)
    advice = Counter(case.expected["advice"] for case in played)
    assert min(statuses[one] for one in ("open", "unknown", "closed")) > len(played) / 50
    assert len(advice) == 5
    assert min(advice.values()) > len(played) / 50
