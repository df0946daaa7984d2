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
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Final

import orjson

from stubs import civil
from stubs.contracts import days_around
from stubs.households import NOBODY, PEOPLE_PER_BLOCK, SEATS, Role, Seat, rows_of
from stubs.insurers import BY_PERCENT, INSURERS, Insurer, policy_toml

PARIS: Final = zoneinfo.ZoneInfo("Europe/Paris")
Row = dict[str, Any]
_MASK: Final = (1 << 64) - 1
_ORDERS: Final = 64
_HOUSEHOLDS: Final = SEATS[-1].household + 1
_COVERS: Final = sorted({(seat.cover.kind.__name__, seat.cover.insurer) for seat in SEATS})


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
        self._steps = [_permutation(chance, self._blocks) for _ in SEATS]
        self._spreads = [_spread(chance, seat.shape) for seat in _insured()]
        self._salts = {cover: chance.getrandbits(64) for cover in _COVERS}

    def __len__(self) -> int:
        """How many rows there are."""
        return self._blocks * len(SEATS) + self._rest

    def rows(self) -> Iterator[Row]:
        """Every source row, shuffled."""
        for chunk in range(self._blocks):
            for number in self._orders[chunk % _ORDERS]:
                step, start = self._steps[number]
                yield self.row((chunk * step + start) % self._blocks, SEATS[number])
        for number in self._orders[0]:
            if number < self._rest:
                yield self.row(self._blocks, SEATS[number])

    def row(self, block: int, seat: Seat) -> Row:
        """One source row: the contract of a seat in a block."""
        # What all people of a household share comes from `home`, what one contract has for itself from `own`.
        home = _mix(block * _HOUSEHOLDS + seat.household ^ self._salt)
        cover = seat.cover
        own = home * self._salts[cover.kind.__name__, cover.insurer] >> 32 & 0xFFFFFF
        life = cover.kind(own, 3 + home % 43, self._days)
        insurer = _insurer(seat, home)
        product = insurer.products[home % len(insurer.products)]
        nir = self.nir(block, seat)
        return {
            "nir": nir.text,
            "birth_date": self._birth_date(seat, nir, home),
            "birth_rank": 2 if seat.role is Role.SECOND_TWIN else 1,
            "amc": insurer.number,
            "member": insurer.member.format(block * _HOUSEHOLDS + seat.household + 1),
            "csr": insurer.csr,
            "convention": insurer.convention,
            "payer_rank": cover.payer_rank,
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

    def nir(self, block: int, seat: Seat) -> civil.Nir:
        """The NIR that a seat's person hangs on."""
        step, start, capacity = self._spreads[seat.insured]
        return civil.make_nir(seat.shape, (block * step + start) % capacity, seat.insured, self._year - seat.eldest)

    def examples(self) -> dict[str, dict[str, Any]]:
        """Bodies of `POST /v1/rights`: an open person, a closed one with the AMC named, one whom nobody insures.

        They hold for about a week from `today`: their AMC's policy trusts them that long. Raises `ValueError` for
        fewer than two people.
        """
        if not self._blocks and self._rest < 2:
            raise ValueError("the examples need at least two people")
        opened, closed = self.row(0, SEATS[0]), self.row(0, SEATS[1])
        # An order number that is given to nobody makes a NIR that no row can have.
        nobody = civil.make_nir(civil.METROPOLITAN, self._salt % civil.METROPOLITAN.capacity, NOBODY, self._year - 49)
        unknown = {"nir": nobody.text, "birth_date": civil.birth_date(self._year - 49 + nobody.year, nobody, 11)}
        return {
            "open": {"beneficiary": _beneficiary(opened)},
            "closed": {"beneficiary": _beneficiary(closed), "amc": closed["amc"]},
            "unknown": {"beneficiary": {**unknown, "birth_rank": 1}},
        }

    def _birth_date(self, seat: Seat, nir: civil.Nir, home: int) -> str:
        role, chance = seat.role, home >> 24 & 0xFFFF
        # Years never meet: insured and partner differ by some, and the children of one NIR are born apart.
        if role is Role.ELDER:
            return civil.plain_date(self._year - 10 - home % 9, chance)
        if role is Role.YOUNGER:
            return civil.plain_date(self._year - 1 - home % 9, chance)
        if role is Role.TWIN or role is Role.SECOND_TWIN:
            return civil.plain_date(self._year - 1 - home % 17, chance)
        born = self._year - seat.eldest + (nir.year if seat.shape.dated else chance % 24)
        if role is Role.PARTNER:
            return civil.plain_date(born + 1 + home % 3, chance)
        return civil.birth_date(born, nir, chance) if seat.shape.dated else civil.plain_date(born, chance)


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


def _permutation(chance: random.Random, blocks: int) -> tuple[int, int]:
    """Step and start of a walk that meets every block once."""
    return (_coprime(chance, blocks), chance.randrange(blocks)) if blocks else (1, 0)


def _spread(chance: random.Random, shape: civil.Shape) -> tuple[int, int, int]:
    """Step, start and length of the walk through a shape's NIRs."""
    return _coprime(chance, shape.capacity), chance.randrange(shape.capacity), shape.capacity


def _insured() -> list[Seat]:
    """One seat of each insured, in their order."""
    return list({seat.insured: seat for seat in SEATS}.values())


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


def write_rows(population: Population, file: BinaryIO) -> int:
    """The population as NDJSON; gives the number of rows."""
    rows = population.rows()
    while batch := list(islice(rows, 1000)):
        file.write(b"".join([orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in batch]))
    return len(population)


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
    parser = argparse.ArgumentParser(prog="python -m stubs.population", description="Writes synthetic people.")
    parser.add_argument("--people", type=int, required=True, help="distinct (NIR, birth date, rank)")
    parser.add_argument("--seed", type=int, default=1, help="the same seed and day give the same people")
    parser.add_argument("--today", type=dt.date.fromisoformat, help="the day rights are laid around (default: today)")
    parser.add_argument("--now", type=dt.datetime.fromisoformat, help="the instant before which AMCs extracted")
    parser.add_argument("--rows", type=Path, required=True, help="NDJSON file to write")
    parser.add_argument("--policy", type=Path, required=True, help="policy file (TOML) to write")
    parser.add_argument("--examples", type=Path, help="directory for three example queries")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; gives its exit status."""
    options = _parser().parse_args(arguments)
    now, today = _moment(options.now, options.today)
    try:
        population = Population(options.people, options.seed, today)
        if options.examples:
            write_examples(population, options.examples)
    except ValueError as error:
        print(f"population: {error}", file=sys.stderr)
        return 2
    options.policy.write_text(policy_toml(now), "utf-8")
    with options.rows.open("wb") as file:
        rows = write_rows(population, file)
    print(f"{options.people} people, {rows} rows, today {today}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
