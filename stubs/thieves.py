"""Thieves with a stolen credential, each with a way of their own of staying unseen, for the sentinel to find.

`STRATEGIES` is the list that docs/threat_model.md answers for. A thief's questions come in order and do not react to
what is answered: being slowed or refused costs them the question. Whoever they ask for does not exist.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from stubs.month import DAY, Ask, Pharmacy, poisson, somebody, wrong_date

_HOUR: Final = 3_600
_STOLEN: Final = 1 << 50
_OPEN: Final = range(9, 19)
#: One in so many people of an AMC's own list is a canary, in the strategy that stole such a list.
CANARY_ONE_IN: Final = 500

Times = Iterator[int]
Questions = Callable[[Sequence[Pharmacy], int, int, random.Random], Iterator[Ask]]


class Strategy(NamedTuple):
    """A named way to steal; `questions(victims, first day, days, chance)`. It takes `victims` pharmacies."""

    name: str
    text: str
    questions: Questions
    victims: int = 1


def _every(first: int, days: int, step: float, hours: range = range(24)) -> Times:
    """One question every `step` seconds, in those hours of the day."""
    second = float(first * DAY)
    while second < days * DAY:
        if int(second) % DAY // _HOUR in hours:
            yield int(second)
        second += step


def _stolen(
    pharmacy: Pharmacy, times: Times, chance: random.Random, client: str = "", wrong: float = 0.03, list_: int = 0
) -> Iterator[Ask]:
    """People of a stolen list, from all over the country, each once; a share of the birth dates is wrong."""
    for number, second in enumerate(times):
        nir, birth_date = somebody(_STOLEN + (pharmacy.number * 100 + list_) * 1_000_000 + number)
        unknown = chance.random() < wrong
        date = wrong_date(birth_date, chance) if unknown else birth_date
        yield Ask(second, pharmacy.finess, client or pharmacy.client, nir, date, unknown=unknown)


def _burst(victims: Sequence[Pharmacy], first: int, days: int, chance: random.Random) -> Iterator[Ask]:
    # Four thousand a day, more than any budget.
    times = (day * DAY + 11 * _HOUR + number // 5 for day in range(first, days) for number in range(4_000))
    return _stolen(victims[0], times, chance)


def _slow(victims: Sequence[Pharmacy], first: int, days: int, chance: random.Random) -> Iterator[Ask]:
    return _stolen(victims[0], _every(first, days, 480), chance)


def _neighbours(victims: Sequence[Pharmacy], first: int, days: int, chance: random.Random) -> Iterator[Ask]:
    for number, second in enumerate(_every(first, days, 60, _OPEN)):
        nir, birth_date = somebody(_STOLEN + number // 900)
        # One in 28 days is the right one, and not every number is somebody's.
        known = chance.random() < 0.03
        yield Ask(
            second, victims[0].finess, victims[0].client, f"{nir[:10]}{1 + number % 900:03d}", birth_date, not known
        )


def _leaked_neighbours(victims: Sequence[Pharmacy], first: int, days: int, chance: random.Random) -> Iterator[Ask]:
    for number, second in enumerate(_every(first, days, 180, _OPEN)):
        nir, birth_date = somebody(_STOLEN + number // 40)
        order = 1 + (number % 40) * 7
        unknown = chance.random() < 0.03
        yield Ask(second, victims[0].finess, victims[0].client, f"{nir[:10]}{order:03d}", birth_date, unknown=unknown)


def _random(victims: Sequence[Pharmacy], first: int, days: int, chance: random.Random) -> Iterator[Ask]:
    return _stolen(victims[0], _every(first, days, 120, _OPEN), chance, wrong=0.999)


def _wrong_dates(victims: Sequence[Pharmacy], first: int, days: int, chance: random.Random) -> Iterator[Ask]:
    return _stolen(victims[0], _every(first, days, 180, _OPEN), chance, wrong=0.6)


def _spread(victims: Sequence[Pharmacy], first: int, days: int, chance: random.Random) -> Iterator[Ask]:
    clients = (victims[0].client, "hub-0", "hub-1", f"{victims[0].client}-till")
    streams = [
        _stolen(victims[0], _every(first, days, 1_800 + 7 * number), chance, client, list_=number)
        for number, client in enumerate(clients)
    ]
    return merged(streams)


def _night(victims: Sequence[Pharmacy], first: int, days: int, chance: random.Random) -> Iterator[Ask]:
    return _stolen(victims[0], _every(first, days, 300, range(6)), chance)


def _mimic(
    victims: Sequence[Pharmacy], first: int, days: int, chance: random.Random, share: float = 0.8
) -> Iterator[Ask]:
    pharmacy = victims[0]
    times: list[int] = []
    for day in range(first, days):
        if day % 7 != 6:
            many = poisson(chance, share * pharmacy.daily)
            times += sorted(day * DAY + chance.randrange(9 * _HOUR, 19 * _HOUR) for _ in range(many))
    return _stolen(pharmacy, iter(times), chance, wrong=pharmacy.unknown)


def _ramp(victims: Sequence[Pharmacy], first: int, days: int, chance: random.Random) -> Iterator[Ask]:
    pharmacy, share = victims[0], 0.1
    times: list[int] = []
    for day in range(first, days):
        if day % 7 != 6:
            times += sorted(
                day * DAY + chance.randrange(9 * _HOUR, 19 * _HOUR) for _ in range(round(share * pharmacy.daily))
            )
            share *= 1.2
    return _stolen(pharmacy, iter(times), chance, wrong=pharmacy.unknown)


def _hub(victims: Sequence[Pharmacy], first: int, days: int, chance: random.Random) -> Iterator[Ask]:
    return merged([_stolen(victim, _every(first, days, 150, _OPEN), chance, "hub-2") for victim in victims])


def _key(victims: Sequence[Pharmacy], first: int, days: int, chance: random.Random) -> Iterator[Ask]:
    return _stolen(victims[0], _every(first, days, 90, range(12, 15)), chance)


def _many(victims: Sequence[Pharmacy], first: int, days: int, chance: random.Random) -> Iterator[Ask]:
    return merged([_mimic([victim], first, days, chance) for victim in victims])


def _faint(victims: Sequence[Pharmacy], first: int, days: int, chance: random.Random) -> Iterator[Ask]:
    return _mimic(victims, first, days, chance, share=0.4)


def _fainter(victims: Sequence[Pharmacy], first: int, days: int, chance: random.Random) -> Iterator[Ask]:
    return _mimic(victims, first, days, chance, share=0.2)


def _sawtooth(victims: Sequence[Pharmacy], first: int, days: int, chance: random.Random) -> Iterator[Ask]:
    times = (hour * _HOUR + number // 4 for hour in range(first * 24, days * 24) for number in range(40))
    return _stolen(victims[0], times, chance)


def _canary(victims: Sequence[Pharmacy], first: int, days: int, chance: random.Random) -> Iterator[Ask]:
    planted = 0
    for number, ask in enumerate(_stolen(victims[0], _every(first, days, 1_200, _OPEN), chance)):
        if number % CANARY_ONE_IN == 0:
            planted = number + chance.randrange(CANARY_ONE_IN)
        yield ask._replace(canary=number == planted)


def _tricked(victims: Sequence[Pharmacy], first: int, days: int, chance: random.Random) -> Iterator[Ask]:
    """Hides the unknown ones among people known to be found: the same forty, asked for again and again."""
    for number, second in enumerate(_every(first, days, 60, _OPEN)):
        if number % 3 == 0:
            yield next(_stolen(victims[0], iter([second]), chance, wrong=0.0, list_=number % 40))
        else:
            yield next(_stolen(victims[0], iter([second]), chance, wrong=0.95, list_=50 + number))


def merged(streams: Sequence[Iterator[Ask]]) -> Iterator[Ask]:
    """Several streams as one, in order."""
    return heapq.merge(*streams)


STRATEGIES: Final = (
    Strategy("burst", "a stolen list, five a second, as fast as the budget lets", _burst),
    Strategy("slow", "a stolen list, one every eight minutes, day and night", _slow),
    Strategy("neighbours", "one order number after the other, one a minute, birth dates guessed", _neighbours),
    Strategy(
        "leaked_neighbours",
        "neighbours with their right dates, every seventh, one in three minutes",
        _leaked_neighbours,
    ),
    Strategy("random", "NIRs at random, one in two minutes, opening hours", _random),
    Strategy("wrong_dates", "an old list, six in ten dates wrong, one in three minutes", _wrong_dates),
    Strategy("diluted", "guessed dates hidden among forty people known to be found", _tricked),
    Strategy("spread", "over four identities of one pharmacy and all hours, two an hour each", _spread),
    Strategy("night", "twelve an hour, midnight to six, every night", _night),
    Strategy("mimic", "at the hours of the pharmacy, four fifths of its own pace on top of it", _mimic),
    Strategy("ramp", "a tenth of its pace on top, a fifth more each day, to become a habit", _ramp),
    Strategy("hub", "a hub's key, three pharmacies of its list, 24 an hour each", _hub, 3),
    Strategy("key", "a pharmacy's own key, 40 an hour over midday, while the pharmacy works", _key),
    Strategy("sawtooth", "forty in ten seconds at each full hour, day and night", _sawtooth),
    Strategy("many", "eight stolen keys, each as the mimic does", _many, 8),
    Strategy("canary", f"an AMC's own list, one in {CANARY_ONE_IN} a canary, three an hour", _canary),
)

#: Below what the rules can tell from an ordinary pharmacy: published so that nobody believes otherwise.
LIMITS: Final = (
    Strategy("faint_mimic", "as the mimic, two fifths of the pharmacy's pace", _faint),
    Strategy("fainter_mimic", "as the mimic, one fifth of the pharmacy's pace", _fainter),
)
