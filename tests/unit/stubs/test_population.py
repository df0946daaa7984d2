from __future__ import annotations

import datetime as dt
import re
import tomllib
from collections import defaultdict
from itertools import islice
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stdnum.fr import nir as oracle

from stubs import population
from stubs.civil import ORDERS_PER_BLOCK, Numbering
from stubs.households import PEOPLE_PER_BLOCK, SEATS
from stubs.insurers import INSURERS, policy_toml
from stubs.population import Population, Row, main

TODAY = dt.date(2024, 2, 5)
COLUMNS = (
    *("nir", "birth_date", "birth_rank", "amc", "member", "csr", "convention", "payer_rank"),
    *("valid_from", "valid_to", "card_valid_to", "closed_on", "suspended", "responsible"),
    *("domains", "rates", "rate_base"),
)
Rows = list[Row]
People = dict[tuple[str, str, int], Rows]
SHAPE = re.compile(
    r"([1-4]\d{2}(0[1-9]|1[0-2]|[2-9]\d)(\d{2}|2A|2B)\d{6}|[56][12]\d{11}|[78][12]\d{11})\d{2}", re.ASCII
)
FICTITIOUS = re.compile(r"2555555\d{3}0(30|42)|555555", re.ASCII)


def day(offset: int) -> str:
    return (TODAY + dt.timedelta(offset)).isoformat()


def key(row: Row) -> tuple[str, str, int]:
    return row["nir"], row["birth_date"], row["birth_rank"]


@pytest.fixture(scope="module")
def rows() -> Rows:
    return list(Population(20_000, 7, TODAY).rows())


@pytest.fixture(scope="module")
def people(rows: Rows) -> People:
    found: People = defaultdict(list)
    for row in rows:
        found[key(row)].append(row)
    return found


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5 * PEOPLE_PER_BLOCK), st.integers(0, 2**63), st.dates(dt.date(2000, 1, 1), dt.date(2060, 1, 1)))
def test_there_are_exactly_as_many_people_as_asked_for(count: int, seed: int, today: dt.date):
    made = Population(count, seed, today)
    rows = list(made.rows())
    assert len({key(row) for row in rows}) == count
    assert len(rows) == len(made)


def test_many_blocks_still_give_distinct_people(people: People):
    assert len(people) == 20_000


def test_the_same_seed_and_day_give_the_same_bytes_and_another_seed_others():
    def lines(seed: int) -> list[bytes]:
        return [orjson.dumps(row) for row in Population(500, seed, TODAY).rows()]

    assert lines(3) == lines(3)
    assert not set(lines(3)) & set(lines(4))


def test_every_row_has_every_column_in_order(rows: Rows):
    assert {tuple(row) for row in rows} == {COLUMNS}


def test_numbers_are_valid_for_an_independent_oracle_and_of_a_known_shape(rows: Rows):
    for row in rows:
        assert oracle.validate(row["nir"]) == row["nir"]
        assert SHAPE.fullmatch(row["nir"])
        assert re.fullmatch(r"\d{10}", row["amc"], re.ASCII)
        assert re.fullmatch(r"[0-9A-Z./-]{1,20}", row["member"], re.ASCII)
        assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", row["birth_date"], re.ASCII)
        assert len(row["csr"]) <= 9


def test_nobody_has_a_fictitious_number(rows: Rows):
    assert not any(FICTITIOUS.match(row["nir"]) for row in rows)


def test_fields_by_themselves_are_good(rows: Rows):
    for row in rows:
        assert row["birth_rank"] in (1, 2)
        assert row["payer_rank"] in (1, 2)
        assert row["valid_to"] is None or row["valid_from"] <= row["valid_to"]
        assert row["rate_base"] in ("TR", "TM")
        assert row["rates"]
        assert all(isinstance(rate, int) for rate in row["rates"].values())
        for since, until in row["suspended"]:
            assert until is None or since <= until


def test_people_look_made_up(rows: Rows):
    assert all(row["member"].startswith("EX") for row in rows)
    assert all("Exemple" in insurer.name for insurer in INSURERS)


def test_one_member_number_belongs_to_one_household(rows: Rows):
    holders = defaultdict(set)
    for row in rows:
        holders[row["amc"], row["member"]].add(row["nir"])
    # Two parents at one AMC share the household's number at most.
    assert max(len(nirs) for nirs in holders.values()) <= 2


NIRS = {
    "metropolitan": lambda nir: nir[0] in "12" and nir[5:7].isdigit(),
    "corsica 2A": lambda nir: nir[5:7] == "2A",
    "corsica 2B": lambda nir: nir[5:7] == "2B",
    "month not known": lambda nir: nir[0] in "12" and nir[3:5] > "19",
    "overseas": lambda nir: nir[0] in "12" and nir[5:7] == "97",
    "born abroad": lambda nir: nir[0] in "12" and nir[5:7] == "99",
    "temporary": lambda nir: nir[0] in "34",
    "passing migrant": lambda nir: nir[0] in "56",
    "provisional": lambda nir: nir[0] in "78",
}


@pytest.mark.parametrize("shape", NIRS)
def test_every_shape_of_nir_occurs(rows: Rows, shape: str):
    assert any(NIRS[shape](row["nir"]) for row in rows)


def soon(date: str | None) -> bool:
    return date is not None and day(-5) <= date <= day(5)


CONTRACTS = {
    "plain": lambda row: row["valid_to"] and row["valid_to"] > day(50) and not row["closed_on"],
    "no end": lambda row: row["valid_to"] is None,
    "terminated before the printed end": lambda row: (
        row["closed_on"] and row["closed_on"] <= day(-2) and row["card_valid_to"] > day(30)
    ),
    "terminated in valid_to as well": lambda row: (
        row["closed_on"] and row["valid_to"] < row["closed_on"] < row["card_valid_to"]
    ),
    "termination ahead": lambda row: row["closed_on"] and row["closed_on"] > day(0),
    "suspended with an end": lambda row: any(s < day(0) and u and u > day(0) for s, u in row["suspended"]),
    "suspended without an end": lambda row: any(s < day(0) and u is None for s, u in row["suspended"]),
    "suspension over": lambda row: row["suspended"] and all(u and u < day(0) for _, u in row["suspended"]),
    "not started": lambda row: row["valid_from"] > day(0),
    "about to renew": lambda row: soon(row["valid_to"]) and row["card_valid_to"] in (None, row["valid_to"]),
    "shortened": lambda row: soon(row["valid_to"]) and (row["card_valid_to"] or "") > day(60),
    "lapsed": lambda row: row["valid_to"] and day(-60) < row["valid_to"] < day(-32) and not row["closed_on"],
    "hospital only": lambda row: row["domains"] == ["HOSP"],
    "pharmacy listed": lambda row: "PHAR" in row["domains"],
    "dropped by minimisation, valid_to": lambda row: row["valid_to"] and row["valid_to"] < day(-60),
    "dropped by minimisation, closed_on": lambda row: row["closed_on"] and row["closed_on"] < day(-60),
    "lunar birth date": lambda row: row["birth_date"][5:7] > "12" or "00" in row["birth_date"][5:].split("-"),
    "day beyond the calendar": lambda row: row["birth_date"][8:] > "31",
    "not responsible": lambda row: not row["responsible"],
    "no routing criterion": lambda row: row["csr"] == "",
}


@pytest.mark.parametrize("kind", CONTRACTS)
def test_every_life_of_a_contract_occurs(rows: Rows, kind: str):
    assert any(CONTRACTS[kind](row) for row in rows)


def test_long_lapsed_contracts_never_stand_alone(people: People):
    def kept(row: Row) -> bool:
        return (row["valid_to"] or day(0)) >= day(-60) and (row["closed_on"] or day(0)) >= day(-60)

    assert all(any(kept(row) for row in contracts) for contracts in people.values())


def test_twins_share_everything_but_their_rank(people: People):
    assert any((nir, date, 1) in people for nir, date, rank in people if rank == 2)


def test_twins_that_the_key_cannot_tell_apart_contradict_each_other(people: People):
    def same(one: Row, other: Row) -> bool:
        return all(one[name] == other[name] for name in ("amc", "member", "payer_rank"))

    pairs = [contracts for contracts in people.values() if len(contracts) == 2 and same(*contracts)]
    assert pairs
    assert all({contract["closed_on"] is None for contract in pair} == {True, False} for pair in pairs)


def test_children_hang_on_both_parents(people: People):
    nirs = defaultdict(set)
    for (nir, date, _), contracts in people.items():
        for contract in contracts:
            nirs[date, contract["member"].rstrip("/AG-").lstrip("EX-.0")].add(nir)
    assert any(len(found) == 2 for (date, _), found in nirs.items() if date > "2006")


def test_two_insurers_pay_in_rank(people: People):
    pairs = [c for c in people.values() if {row["payer_rank"] for row in c} == {1, 2}]
    assert pairs
    assert all(len({row["amc"] for row in pair}) == 2 for pair in pairs)


def test_an_insurer_is_changed_without_a_gap(people: People):
    def changes(rows: Rows) -> bool:
        closed = {row["closed_on"] for row in rows if row["closed_on"]}
        return len(rows) == 2 and any(row["valid_from"] in closed for row in rows)

    def follows(rows: Rows) -> bool:
        ends = {row["valid_to"] for row in rows if row["valid_to"]}
        yesterdays = {(dt.date.fromisoformat(row["valid_from"]) - dt.timedelta(1)).isoformat() for row in rows}
        return len(rows) == 2 and bool(ends & yesterdays)

    assert any(changes(rows) for rows in people.values())
    assert any(follows(rows) for rows in people.values())


@pytest.mark.parametrize("count", [200, 1000, 20_000])
def test_any_two_hundred_rows_hold_open_closed_and_unknown(count: int):
    rows = list(Population(count, 5, TODAY).rows())
    trusted = INSURERS[0].number
    opened = [row["amc"] == trusted and bool(CONTRACTS["plain"](row)) and not row["domains"] for row in rows]
    closed = [row["amc"] == trusted and bool(row["closed_on"] and row["closed_on"] <= day(0)) for row in rows]
    unknown = [row["domains"] == ["HOSP"] for row in rows]
    for start in range(len(rows) - 199):
        window = slice(start, start + 200)
        assert any(opened[window])
        assert any(closed[window])
        assert any(unknown[window])


def test_households_are_scattered():
    lines = defaultdict(list)
    for number, row in enumerate(Population(20_000, 5, TODAY).rows()):
        lines[row["nir"]].append(number)
    families = [numbers for numbers in lines.values() if len(numbers) > 2]
    near = sum(max(numbers) - min(numbers) < 200 for numbers in families)
    assert near < len(families) // 50


def test_thirty_three_million_people_start_at_once():
    rows = list(islice(Population(33_000_000, 1, TODAY).rows(), 2000))
    assert all(oracle.is_valid(row["nir"]) for row in rows)
    assert len({row["member"] for row in rows}) > 1900


def test_every_shape_has_numbers_for_a_hundred_million_people():
    blocks = 100_000_000 // PEOPLE_PER_BLOCK
    assert min(Numbering(seat.shape, 1975).capacity for seat in SEATS) > blocks
    # The last order number is nobody's: the unknown person of the examples has it.
    assert max(seat.insured for seat in SEATS) < ORDERS_PER_BLOCK - 1


def test_policies_differ_and_extracts_are_hours_old():
    now = dt.datetime(2024, 2, 5, 9, 30, tzinfo=dt.UTC)
    amcs = tomllib.loads(policy_toml(now))["amc"]
    assert 6 <= len(amcs) <= 8
    assert all(dt.timedelta(0) < now - amc["extracted_at"] < dt.timedelta(hours=6) for amc in amcs)
    policies = [amc["stand_in"] for amc in amcs]
    assert {policy["allowed"] for policy in policies} == {True, False}
    assert {policy["on_unknown"] for policy in policies} == {"check_card", "patient_pays"}
    assert {tuple(sorted(policy.get("guarantee", ()))) for policy in policies} == {
        (),
        ("basis", "ceiling_cents"),
        ("basis", "until"),
    }


def test_every_insurer_of_the_rows_has_a_policy(rows: Rows):
    policy = {insurer.number for insurer in INSURERS}
    assert {row["amc"] for row in rows} == policy


def contracts_of(query: Row, rows: Rows) -> Rows:
    wanted = tuple(query["beneficiary"][name] for name in ("nir", "birth_date", "birth_rank"))
    return [row for row in rows if key(row) == wanted]


@pytest.mark.parametrize("count", [2, 100, 20_000])
def test_examples_are_an_open_a_closed_and_an_unknown_person(count: int):
    made = Population(count, 9, TODAY)
    rows, examples = list(made.rows()), made.examples()
    (opened,), (closed,) = contracts_of(examples["open"], rows), contracts_of(examples["closed"], rows)
    assert opened["valid_from"] < day(-10) < day(14) < opened["valid_to"]
    assert opened["closed_on"] is None
    assert closed["closed_on"] <= day(-2)
    assert examples["closed"]["amc"] == closed["amc"] == INSURERS[0].number
    assert oracle.validate(examples["unknown"]["beneficiary"]["nir"])
    assert not any(row["nir"] == examples["unknown"]["beneficiary"]["nir"] for row in rows)


def test_the_command_writes_rows_policy_and_examples(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    rows, policy, examples = tmp_path / "rows.ndjson", tmp_path / "policy.toml", tmp_path / "demo"
    arguments = f"--people 300 --seed 2 --today 2024-02-05 --rows {rows} --policy {policy} --examples {examples}"
    assert main(arguments.split()) == 0
    lines = rows.read_bytes().splitlines()
    assert f"300 people, {len(lines)} rows" in capsys.readouterr().out
    assert [orjson.loads(line) for line in lines] == list(Population(300, 2, TODAY).rows())
    # A day given without an instant is laid at its noon in Paris.
    noon = dt.datetime(2024, 2, 5, 11, tzinfo=dt.UTC)
    assert max(amc["extracted_at"] for amc in tomllib.loads(policy.read_text("utf-8"))["amc"]) < noon
    assert sorted(file.name for file in examples.iterdir()) == ["closed.json", "open.json", "unknown.json"]


def test_nobody_is_no_population(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    files = f"--rows {tmp_path}/r --policy {tmp_path}/p --examples {tmp_path}/e"
    assert main(f"--people 0 {files}".split()) == 2
    assert main(f"--people 1 {files}".split()) == 2
    assert capsys.readouterr().err.count("population:") == 2
    assert not (tmp_path / "r").exists()


def test_the_day_follows_from_the_instant_in_paris():
    late = dt.datetime(2024, 2, 4, 23, 30, tzinfo=dt.UTC)
    assert population._moment(late, None) == (late, TODAY)
    assert population._moment(late.replace(tzinfo=None), None)[0].tzinfo is population.PARIS
