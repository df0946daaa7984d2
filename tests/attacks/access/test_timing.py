"""What an answer takes does not tell who is registered, nor who is known.

10,000 of each kind, in turn, on one connection to a real server. The same measurement, of a server that lingers for
20 µs over one of the two, finds it: so it would have been found.
"""

from __future__ import annotations

import json
import random
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.attacks.access.doors import QUERY, register_bench
from tests.attacks.access.stopwatch import Comparison, Request, Stopwatch, compare
from tests.fleet import Installation, free_ports
from tests.unit.access.forge import Bench

SAMPLES = 10_000
PLANTED_SECONDS = 20e-6
#: A busy machine may blur a measurement: then as many again are added.
TRIES = 4


@dataclass(frozen=True, slots=True)
class Timed:
    """A server to be timed, of one worker."""

    site: Installation
    people: list[dict[str, Any]]

    def comparison(self, first: Request, second: Request, status: bytes) -> Comparison:
        firsts: list[float] = []
        seconds: list[float] = []
        watch, chance = Stopwatch(self.site.ports["rights"]), random.Random(20)  # noqa: S311
        for _ in range(TRIES):
            measured = watch.pairs(first, second, status, SAMPLES, chance)
            firsts += measured[0]
            seconds += measured[1]
            found = compare(firsts, seconds, chance)
            if found.is_sharp or found.tells:
                break
        else:
            pytest.fail(f"too blurred to see 20 µs after {len(firsts)} pairs: {found}")
        watch.close()
        return found


def posted(token: str, body: bytes) -> bytes:
    lines = [
        "POST /v1/rights HTTP/1.1",
        "Host: localhost",
        f"Authorization: Bearer {token}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


@pytest.fixture(scope="module", params=["as it is", "planted"])
def timed(request: pytest.FixtureRequest, unserved: Installation, bench: Bench) -> Iterator[Timed]:
    """In memory where there is a file system for it: a disk's sync takes longer than all that is compared here."""
    shm = Path("/dev/shm")  # noqa: S108
    with tempfile.TemporaryDirectory(dir=shm if shm.is_dir() else None) as folder:
        home = shutil.copytree(unserved.home, Path(folder) / "home")
        rights, admin = free_ports(2)
        site = Installation(home, ports={"rights": rights, "admin": admin})
        register_bench(site, bench)
        people = [{name: row[name] for name in ("nir", "birth_date", "birth_rank")} for row in site.rows()]
        if request.param == "planted":
            nirs = Path(folder) / "nirs"
            nirs.write_text("\n".join(person["nir"][:13] for person in people))
            site.environment |= {
                "PYTHONPATH": str(Path(__file__).with_name("planted")),
                "PLANTED_NIRS": str(nirs),
                "PLANTED_SECONDS": str(PLANTED_SECONDS),
            }
        try:
            site.start("rights", workers=1)
            yield Timed(site, people)
        finally:
            site.close()


def expected(timed: Timed, found: Comparison) -> None:
    """Nothing is to be told from the time taken; where a delay was planted it is found, and on the right side."""
    if timed.site.environment:
        assert found.tells, found
        assert 0.5 * PLANTED_SECONDS < found.difference < 3 * PLANTED_SECONDS, found
    else:
        assert not found.tells, found


def test_an_unknown_client_takes_as_long_as_a_bad_signature(timed: Timed, bench: Bench):
    bench.at, bench.audience = int(time.time()), "relais-droits"
    header = {"kid": bench.owner.kid}
    unknown = posted(bench.token(bench.stranger, header, iss="pharmacy-z", sub="pharmacy-z"), QUERY)
    known = posted(bench.token(bench.stranger, header), QUERY)
    assert len(unknown) == len(known)
    expected(timed, timed.comparison(lambda _: unknown, lambda _: known, b"401"))


def test_a_known_nir_with_a_wrong_date_takes_as_long_as_an_unknown_nir(timed: Timed, bench: Bench):
    bench.at, bench.audience = int(time.time()), "relais-droits"
    tokens: list[str] = []

    def token(number: int) -> str:
        """The same for both of a pair, and a new one before it expires."""
        if number % 1000 == 0 or not tokens:
            bench.at = int(time.time())
            tokens[:] = [bench.token(jti=str(number))]
        return tokens[0]

    def wrong_date(number: int) -> bytes:
        person = timed.people[number % len(timed.people)]
        born = ("1931-02-03", "1932-03-04")[person["birth_date"] == "1931-02-03"]
        return asked(token(number), {**person, "birth_date": born})

    def unknown_nir(number: int) -> bytes:
        """Of the same month as the other's; its commune is dealt to nobody."""
        person = timed.people[number % len(timed.people)]
        body = f"{person['nir'][:5]}75999{number % 1000:03d}"
        return asked(token(number), {**person, "nir": f"{body}{97 - int(body) % 97:02d}", "birth_date": "1931-02-03"})

    assert len(wrong_date(1)) == len(unknown_nir(1))
    expected(timed, timed.comparison(wrong_date, unknown_nir, b"200"))


def asked(token: str, person: dict[str, Any]) -> bytes:
    return posted(token, json.dumps({"beneficiary": person}).encode())
