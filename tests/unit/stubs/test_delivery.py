from __future__ import annotations

import datetime as dt
import gzip
import tomllib
from collections import Counter
from pathlib import Path

import orjson
import pytest
from backports import zstd

from stubs.delivery import Change, Delivery
from stubs.population import Population, Row, main

TODAY = dt.date(2024, 2, 5)
DAY = "2024-02-06"
PEOPLE = 20_000


def key(row: Row) -> tuple[str, str, int]:
    return row["nir"], row["birth_date"], row["birth_rank"]


def lines(rows: list[Row]) -> Counter[bytes]:
    return Counter(map(orjson.dumps, rows))


@pytest.fixture(scope="module")
def population() -> Population:
    return Population(PEOPLE, 7, TODAY)


@pytest.fixture(scope="module")
def before(population: Population) -> list[Row]:
    return list(population.rows())


def delivered(population: Population, percent: float, seed: int = 7) -> list[Row]:
    return list(Delivery(population, percent, seed, DAY).rows())


def test_a_share_of_the_people_changes_and_the_other_rows_are_the_same_bytes(population: Population, before: list[Row]):
    after = delivered(population, 2)
    gone, come = lines(before) - lines(after), lines(after) - lines(before)
    concerned = {key(orjson.loads(line)) for line in (*gone, *come)}
    assert 0.016 * PEOPLE < len(concerned) < 0.024 * PEOPLE
    assert len(lines(after) & lines(before)) > 0.97 * len(before)


def test_each_way_to_change_occurs_about_as_often(population: Population, before: list[Row]):
    after = delivered(population, 4)
    first, later = {key(row) for row in before}, {key(row) for row in after}
    changed = [row for row in after if key(row) in first and row not in before]
    closed = {key(row) for row in changed if row["closed_on"] == DAY}
    rated = {key(row) for row in changed} - closed
    for people in (closed, rated, first - later, later - first):
        assert 0.007 * PEOPLE < len(people) < 0.013 * PEOPLE


def test_nothing_changes_by_nought_percent_and_everybody_by_a_hundred(population: Population, before: list[Row]):
    assert delivered(population, 0) == before
    delivery = Delivery(population, 100, 7, DAY)
    assert all(delivery.change(row) is not None for row in before)


def test_a_person_changes_as_one(population: Population, before: list[Row]):
    delivery = Delivery(population, 50, 7, DAY)
    after = list(delivery.rows())
    contracts = Counter(key(row) for row in before)
    left = Counter(key(row) for row in after)
    several = [row for row in before if contracts[key(row)] > 1]
    assert {delivery.change(row) for row in several} == {None, *Change}
    for row in several:
        assert left[key(row)] == (0 if delivery.change(row) is Change.GONE else contracts[key(row)])


def test_strangers_are_each_somebody_else(population: Population, before: list[Row]):
    known = {key(row) for row in before}
    strangers = [population.stranger(*place) for place in population.places()]
    assert len({key(row) for row in strangers}) == PEOPLE
    assert not known & {key(row) for row in strangers}


def test_the_same_seed_gives_the_same_delivery_and_another_seed_another(population: Population):
    assert delivered(population, 2) == delivered(Population(PEOPLE, 7, TODAY), 2)
    assert delivered(population, 2) != delivered(population, 2, seed=8)


@pytest.mark.parametrize("percent", [-1, 100.1, float("nan")])
def test_a_share_lies_between_nought_and_a_hundred(population: Population, percent: float):
    with pytest.raises(ValueError, match="percent"):
        Delivery(population, percent, 7, DAY)


@pytest.mark.parametrize("name", ["rows.ndjson", "rows.ndjson.gz", "rows.ndjson.zst", "-"])
def test_the_command_delivers_a_day_later(tmp_path: Path, name: str, capfdbinary: pytest.CaptureFixture[bytes]):
    rows, policy = (Path(name) if name == "-" else tmp_path / name), tmp_path / "policy.toml"
    arguments = f"--people 3000 --seed 7 --today {TODAY} --changed-percent 1 --rows {rows} --policy {policy}"
    assert main(arguments.split()) == 0
    out, err = capfdbinary.readouterr()
    data = out if name == "-" else rows.read_bytes()
    text = {".gz": gzip.decompress, ".zst": zstd.decompress}.get(rows.suffix, bytes)(data)
    expected = delivered(Population(3000, 7, TODAY), 1)
    assert [orjson.loads(line) for line in text.splitlines()] == expected
    assert f"3000 people, {len(expected)} rows".encode() in (err if name == "-" else out)
    noon = dt.datetime(2024, 2, 6, 11, tzinfo=dt.UTC)
    extracts = [amc["extracted_at"] for amc in tomllib.loads(policy.read_text("utf-8"))["amc"]]
    assert all(dt.timedelta(0) < noon - extract < dt.timedelta(hours=6) for extract in extracts)
    assert main(arguments.split()) == 0
    assert name == "-" or rows.read_bytes() == data


def test_a_later_delivery_needs_the_day_of_the_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit, match="2"):
        main(f"--people 3 --changed-percent 1 --rows {tmp_path}/r --policy {tmp_path}/p".split())
    assert "--today" in capsys.readouterr().err
