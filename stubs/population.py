"""Synthetic people for builds, demos and load: `python -m stubs.population --people 100000 --rows FILE …`.

Nobody here exists. Every row is computed from its index alone, so that 33 million people stream in the memory of
a few, and the same people, seed and day give the same bytes. The order is shuffled without holding it: one
output chunk takes each row of a block once, every one from another block, along a permutation of its own. So any
two hundred rows hold every kind of right, and a household lies scattered over the file.
"""

from __future__ import annotations

import argparse
import datetime as dt
import math
import random
import sys
import zoneinfo
from collections.abc import Iterator, Sequence
from itertools import starmap
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from stubs import civil
from stubs.contracts import Kind, days_around
from stubs.delivery import Delivery
from stubs.households import NOBODY, PEOPLE_PER_BLOCK, SEATS, Role, Seat, rows_of
from stubs.insurers import BY_PERCENT, INSURERS, Insurer, policy_toml
from stubs.ndjson import STANDARD_OUTPUT, opened, write_rows

PARIS: Final = zoneinfo.ZoneInfo("Europe/Paris")
Row = dict[str, Any]
_MASK: Final = (1 << 64) - 1
_ORDERS: Final = 64
_HOUSEHOLDS: Final = SEATS[-1].household + 1


class _Plan(NamedTuple):
    """A seat as one population fills it: its NIRs, and the walk that gives each block one of them."""

    seat: Seat
    kind: Kind
    salt: int
    numbering: civil.Numbering
    step: int
    start: int


class Population:
    """`people` synthetic people as of `today`, different for each `seed`; exactly that many (NIR, date, rank)."""

    def __init__(self, people: int, seed: int, today: dt.date) -> None:
        if people < 1:
            raise ValueError("a population needs at least one person")
        self._blocks, rest = divmod(people, PEOPLE_PER_BLOCK)
        self._rest = rows_of(rest)
        self._year = today.year
        self._days = days_around(today)
        chance = random.Random(seed)
        self._salt = chance.getrandbits(64)
        self._orders = [chance.sample(range(len(SEATS)), len(SEATS)) for _ in range(_ORDERS)]
        self._walks = [_permutation(chance, self._blocks) for _ in SEATS]
        self._plans = _plans(chance, today.year)

    def __len__(self) -> int:
        """How many rows there are."""
        return self._blocks * len(SEATS) + self._rest

    def rows(self) -> Iterator[Row]:
        """Every source row, shuffled."""
        return starmap(self.row, self.places())

    def places(self) -> Iterator[tuple[int, int]]:
        """Block and seat of every source row, shuffled."""
        for chunk in range(self._blocks):
            for number in self._orders[chunk % _ORDERS]:
                step, start = self._walks[number]
                yield (chunk * step + start) % self._blocks, number
        for number in self._orders[0]:
            if number < self._rest:
                yield self._blocks, number

    def stranger(self, block: int, number: int) -> Row:
        """The row of somebody who is not of this population, another one for each of its places."""
        return self.row(self._blocks + 1 + block, number)

    def row(self, block: int, number: int) -> Row:
        """One source row: the contract of seat `number` in a block. Its lists are shared: they are for reading."""
        seat, kind, salt, numbering, step, start = self._plans[number]
        household = block * _HOUSEHOLDS + seat.household
        # What all people of a household share comes from `home`, what one contract has for itself from `own`.
        home = _mix(household ^ self._salt)
        own = home * salt >> 32 & 0xFFFFFF
        life = kind(own, 3 + home % 43, self._days)
        insurer = _insurer(seat, home)
        product = insurer.products[home % len(insurer.products)]
        nir, head = numbering.nir((block * step + start) % numbering.capacity, seat.insured)
        return {
            "nir": nir,
            "birth_date": self._birth_date(seat, head, home),
            "birth_rank": 2 if seat.role is Role.SECOND_TWIN else 1,
            "amc": insurer.number,
            "member": insurer.member % (household + 1),
            "csr": insurer.csr,
            "convention": insurer.convention,
            "payer_rank": seat.cover.payer_rank,
            "valid_from": life.valid_from,
            "valid_to": life.valid_to,
            "card_valid_to": life.card_valid_to,
            "closed_on": life.closed_on,
            "suspended": life.suspended,
            "responsible": product.responsible,
            "domains": life.domains,
            "rates": product.rates,
            "rate_base": product.rate_base,
        }

    def examples(self) -> dict[str, dict[str, Any]]:
        """Bodies of `POST /v1/rights`: an open person, a closed one with the AMC named, one whom nobody insures.

        They hold for about a week from `today`: their AMC's policy trusts them that long. Raises `ValueError` for
        fewer than two people.
        """
        if not self._blocks and self._rest < 2:
            raise ValueError("the examples need at least two people")
        opened, closed = self.row(0, 0), self.row(0, 1)
        # An order number that is given to nobody makes a NIR that no row can have.
        numbering = self._plans[0].numbering
        nir, head = numbering.nir(self._salt % numbering.capacity, NOBODY)
        unknown = {"nir": nir, "birth_date": civil.insured_date(head, self._salt), "birth_rank": 1}
        return {
            "open": {"beneficiary": _beneficiary(opened)},
            "closed": {"beneficiary": _beneficiary(closed), "amc": closed["amc"]},
            "unknown": {"beneficiary": unknown},
        }

    def _birth_date(self, seat: Seat, head: civil.Head, home: int) -> str:
        role, chance = seat.role, home >> 24 & 0xFFFF
        # Years never meet: insured and partner differ by some, and the children of one NIR are born apart.
        if role is Role.INSURED:
            return civil.insured_date(head, chance) if seat.shape.dated else civil.plain_date(head.year, chance)
        if role is Role.PARTNER:
            return civil.plain_date(head.year + 1 + home % 3, chance)
        if role is Role.ELDER:
            return civil.plain_date(self._year - 10 - home % 9, chance)
        if role is Role.YOUNGER:
            return civil.plain_date(self._year - 1 - home % 9, chance)
        return civil.plain_date(self._year - 1 - home % 17, chance)


def _mix(value: int) -> int:
    """64 bits that look random, from a number (the finaliser of splitmix64)."""
    value = (value + 0x9E3779B97F4A7C15) & _MASK
    value = ((value ^ value >> 30) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ value >> 27) * 0x94D049BB133111EB) & _MASK
    return value ^ value >> 31


def _coprime(chance: random.Random, modulus: int) -> int:
    while True:
        step = chance.randrange(1, max(2, modulus))
        if math.gcd(step, modulus) == 1:
            return step


def _permutation(chance: random.Random, length: int) -> tuple[int, int]:
    """Step and start of a walk that meets each of `length` places once."""
    return (_coprime(chance, length), chance.randrange(length)) if length else (1, 0)


def _plans(chance: random.Random, year: int) -> list[_Plan]:
    """One plan a seat. Seats of one insured walk together: they are one NIR."""
    numberings = {(seat.shape, seat.eldest): civil.Numbering(seat.shape, year - seat.eldest) for seat in SEATS}
    salts = {(seat.cover.kind.__name__, seat.cover.insurer): chance.getrandbits(64) for seat in SEATS}
    walks: dict[int, tuple[int, int]] = {}
    plans = []
    for seat in SEATS:
        numbering = numberings[seat.shape, seat.eldest]
        if seat.insured not in walks:
            walks[seat.insured] = _permutation(chance, numbering.capacity)
        salt = salts[seat.cover.kind.__name__, seat.cover.insurer]
        plans.append(_Plan(seat, seat.cover.kind, salt, numbering, *walks[seat.insured]))
    return plans


def _insurer(seat: Seat, home: int) -> Insurer:
    if seat.vouched:
        return INSURERS[0]
    first = BY_PERCENT[(home >> 40) % 100]
    if seat.cover.insurer:
        # The household's second insurer, never the same as its first.
        return INSURERS[(first + 1 + (home >> 48) % (len(INSURERS) - 1)) % len(INSURERS)]
    return INSURERS[first]


def _beneficiary(row: Row) -> Row:
    return {name: row[name] for name in ("nir", "birth_date", "birth_rank")}


def write_examples(population: Population, directory: Path) -> None:
    """`open.json`, `closed.json` and `unknown.json`, ready for `curl -d @FILE`."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, query in population.examples().items():
        (directory / f"{name}.json").write_bytes(orjson.dumps(query, option=orjson.OPT_APPEND_NEWLINE))


def _moment(given: dt.datetime | None, today: dt.date | None) -> tuple[dt.datetime, dt.date]:
    """The instant of the policy file and the day of the rows; one follows from the other where it is not given."""
    now = given or dt.datetime.now(PARIS)
    if now.tzinfo is None:
        now = now.replace(tzinfo=PARIS)
    if given is None and today is not None and today != now.date():
        now = dt.datetime.combine(today, dt.time(12), PARIS)
    return now, today or now.astimezone(PARIS).date()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m stubs.population",
        description="Writes synthetic people.",
        epilog="""A later delivery of the same people, to measure a delta: give --changed-percent and the --people,
        --seed and --today of the first delivery. That share of the people differs, a quarter of it each way: contracts
        closed on the day after --today, other rates, people gone, people new. All other rows are the same bytes. The
        AMCs extracted before --now, by default noon of that day after; build neither delivery before its extracts.""",
    )
    parser.add_argument("--people", type=int, required=True, help="distinct (NIR, birth date, rank)")
    parser.add_argument("--seed", type=int, default=1, help="the same seed and day give the same people")
    parser.add_argument("--today", type=dt.date.fromisoformat, help="the day rights are laid around (default: today)")
    parser.add_argument("--now", type=dt.datetime.fromisoformat, help="the instant before which AMCs extracted")
    parser.add_argument(
        "--changed-percent", type=float, metavar="P", help="deliver them a day later, P percent of the people changed"
    )
    parser.add_argument(
        "--rows", type=Path, required=True, help="NDJSON file to write, compressed if it ends in .gz or .zst; - prints"
    )
    parser.add_argument("--policy", type=Path, required=True, help="policy file (TOML) to write")
    parser.add_argument("--examples", type=Path, help="directory for three example queries of the first delivery")
    return parser


def _rows(options: argparse.Namespace, population: Population, today: dt.date) -> Iterator[Row]:
    if options.changed_percent is None:
        return population.rows()
    day = (today + dt.timedelta(days=1)).isoformat()
    return Delivery(population, options.changed_percent, options.seed, day).rows()


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; gives its exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.changed_percent is not None and options.today is None:
        parser.error("--changed-percent needs --today, the day of the first delivery")
    now, today = _moment(options.now, options.today)
    if options.changed_percent is not None and options.now is None:
        now = dt.datetime.combine(today + dt.timedelta(days=1), dt.time(12), PARIS)
    try:
        population = Population(options.people, options.seed, today)
        chosen = _rows(options, population, today)
        if options.examples:
            write_examples(population, options.examples)
    except ValueError as error:
        print(f"population: {error}", file=sys.stderr)
        return 2
    options.policy.write_text(policy_toml(now), "utf-8")
    with opened(options.rows) as file:
        rows = write_rows(chosen, file)
    told = sys.stderr if options.rows == STANDARD_OUTPUT else sys.stdout
    print(f"{options.people} people, {rows} rows, today {today}", file=told)
    return 0


if __name__ == "__main__":
    sys.exit(main())
