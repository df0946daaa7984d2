"""What is kept for retries stays within its bounds."""

from __future__ import annotations

import asyncio

import pytest

from service.errors import Conflict, Overloaded
from service.web.retries import Retries


class Maker:
    """Answers, each of its own, of a size."""

    def __init__(self, size: int = 10) -> None:
        self.size = size
        self.made = 0

    def __call__(self) -> asyncio.Future[bytes]:
        self.made += 1
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        future.set_result(b"%0*d" % (self.size, self.made))
        return future


async def test_the_oldest_are_forgotten_beyond_the_bytes():
    retries, make = Retries(300, 1000, most_bytes=35), Maker()
    for key in "abcdef":
        await retries.once(key, b"", make)
        await asyncio.sleep(0)
    assert make.made == 6
    for key in "fedc":
        await retries.once(key, b"", make)
    assert make.made == 6
    await retries.once("a", b"", make)
    assert make.made == 7


async def test_one_larger_than_all_is_given_and_goes_with_the_next():
    retries, make = Retries(300, 1000, most_bytes=5), Maker()
    first = await retries.once("a", b"", make)
    await asyncio.sleep(0)
    assert await retries.once("a", b"", make) == first
    await retries.once("b", b"", make)
    await retries.once("a", b"", make)
    assert make.made == 3


async def test_one_that_failed_weighs_nothing_and_is_made_anew():
    retries, make = Retries(300, 1000, most_bytes=15), Maker()
    await retries.once("a", b"", make)

    def refuse() -> asyncio.Future[bytes]:
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        future.set_exception(Overloaded())
        return future

    for _ in range(5):
        with pytest.raises(Overloaded):
            await retries.once("b", b"", refuse)
    await retries.once("a", b"", make)
    assert make.made == 1


async def test_another_body_under_the_same_key_is_a_conflict_while_it_is_being_made():
    retries = Retries(300, 10)
    under_way: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    first = asyncio.ensure_future(retries.once("a", b"1", lambda: under_way))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    with pytest.raises(Conflict):
        await retries.once("a", b"2", Maker())
    under_way.set_result(b"x")
    assert await first == b"x"
