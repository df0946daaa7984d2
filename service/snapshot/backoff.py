"""How long to wait before trying again. Pure: chance is passed in as a function that gives a number from 0 to 1.

Exponential with full jitter (AWS Architecture Blog, "Exponential Backoff And Jitter", 2015): many nodes that lost one
bucket at the same moment do not come back at the same moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

BASE_SECONDS: Final = 0.5
CAP_SECONDS: Final = 30.0
#: How far a regular interval is spread, as a share of it either way.
SPREAD: Final = 0.1
#: Beyond it doubling changes nothing: the cap has long been reached.
_DOUBLINGS: Final = 32


def waits(
    attempts: int, chance: Callable[[], float], base: float = BASE_SECONDS, cap: float = CAP_SECONDS
) -> Iterator[float]:
    """The pauses between `attempts` tries, in seconds: one fewer than there are tries."""
    for number in range(attempts - 1):
        yield chance() * min(cap, base * 2 ** min(number, _DOUBLINGS))


def spread(seconds: float, chance: Callable[[], float]) -> float:
    """A regular interval, a little shorter or longer each time."""
    return seconds * (1 - SPREAD + 2 * SPREAD * chance())
