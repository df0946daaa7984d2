"""Which of two kinds of request takes longer? Asked thousands of times in turn, and judged against chance."""

from __future__ import annotations

import random
import socket
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

#: Below this a difference is within what no network shows, and of the order of a cache line.
TOLERATED_SECONDS: Final = 5e-6
_PERMUTATIONS: Final = 200
Request = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class Comparison:
    """How much longer the first kind takes (difference of medians), and the most that chance made of the same pairs."""

    difference: float
    chance: float

    @property
    def tells(self) -> bool:
        """Whether the two can be told apart."""
        return abs(self.difference) > max(TOLERATED_SECONDS, 1.5 * self.chance)

    @property
    def is_sharp(self) -> bool:
        """Whether a difference of 20 µs would have been seen: a machine that is busy otherwise may hide it."""
        return 1.5 * self.chance < 15e-6


def compare(firsts: Sequence[float], seconds: Sequence[float], chance: random.Random) -> Comparison:
    """Of pairs measured side by side. `chance` exchanges the two of a pair or does not: then nothing is to be found."""

    def exchanged() -> float:
        ones, others = [], []
        for first, second in zip(firsts, seconds, strict=True):
            one, other = (first, second) if chance.random() < 0.5 else (second, first)
            ones.append(one)
            others.append(other)
        return abs(statistics.median(ones) - statistics.median(others))

    return Comparison(
        statistics.median(firsts) - statistics.median(seconds), max(exchanged() for _ in range(_PERMUTATIONS))
    )


class Stopwatch:
    """One connection on which requests are timed, from the first byte sent to the last one read."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self) -> None:
        """End the connection."""
        self._socket.close()

    def seconds(self, request: bytes, status: bytes) -> float:
        """How long the answer took, which must have this status."""
        begun = time.perf_counter_ns()
        self._socket.sendall(request)
        data = self._socket.recv(65_536)
        ended = time.perf_counter_ns()
        while not _is_whole(data):
            data += self._socket.recv(65_536)
            ended = time.perf_counter_ns()
        assert data.startswith(b"HTTP/1.1 " + status), data[:400]
        return (ended - begun) / 1e9

    def pairs(
        self, first: Request, second: Request, status: bytes, count: int, chance: random.Random
    ) -> tuple[list[float], list[float]]:
        """Times of `count` pairs, each in an order left to chance, after some that do not count."""
        firsts, seconds = [], []
        for number in range(-count // 20, count):
            requests = [(firsts, first(number)), (seconds, second(number))]
            chance.shuffle(requests)
            for times, request in requests:
                taken = self.seconds(request, status)
                if number >= 0:
                    times.append(taken)
        return firsts, seconds


def _is_whole(data: bytes) -> bool:
    head, ended, body = data.partition(b"\r\n\r\n")
    if not ended:
        return False
    length = head.lower().partition(b"content-length: ")[2].split(b"\r\n", 1)[0]
    return len(body) >= int(length)
