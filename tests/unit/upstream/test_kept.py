from __future__ import annotations

import asyncio
import datetime as dt
from typing import Any

import msgspec
import pytest

from service.rights.heard import Heard
from service.rights.model import Query, Status
from service.rights.question import normalised
from service.upstream.kept import Kept
from tests.unit.upstream.answers import BY_CARD, OF_AMC, QUERY

NOW = dt.datetime(2024, 2, 5, 9, 30, tzinfo=dt.UTC)
HEARD = Heard(Status.OPEN)


def kept(seconds: float = 30.0, entries: int = 100) -> Kept:
    return Kept(seconds, entries, b"secret of this process")


async def test_what_was_kept_is_found_again():
    answers = kept()
    key = answers.key("pharmacy-1", QUERY)
    assert await answers.get(key, NOW) is None
    await answers.keep(key, HEARD, NOW)
    assert await answers.get(key, NOW) is HEARD
    assert answers.count(NOW) == 1


@pytest.mark.parametrize(
    ("caller", "query"),
    [
        ("pharmacy-2", QUERY),
        ("pharmacy-1", OF_AMC),
        ("pharmacy-1", BY_CARD),
        *(
            ("pharmacy-1", msgspec.structs.replace(QUERY, **change))
            for change in (
                {"finess": "750012347"},
                {"birth_date": "1985-05-13"},
                {"birth_rank": 2},
                {"nir": "1850575116002"},
                {"service_date": dt.date(2024, 2, 6)},
                {"domain": "LABO"},
                {"benefits": ("PH4",)},
            )
        ),
    ],
)
async def test_nobody_else_and_no_other_question_finds_it(caller: str, query: Query):
    answers = kept()
    await answers.keep(answers.key("pharmacy-1", QUERY), HEARD, NOW)
    assert await answers.get(answers.key(caller, query), NOW) is None


def test_no_identity_lies_in_a_key_and_another_process_has_other_keys():
    key = kept().key("pharmacy-1", BY_CARD)
    assert len(key) == 64
    for text in (BY_CARD.member, BY_CARD.amc, BY_CARD.birth_date, "pharmacy-1", normalised(BY_CARD).hex()):
        assert text is not None
        assert text not in key
    assert key != Kept(30, 100, b"another secret").key("pharmacy-1", BY_CARD)


async def test_kept_no_longer_than_the_seconds():
    answers = kept(seconds=0.05)
    key = answers.key("pharmacy-1", QUERY)
    await answers.keep(key, HEARD, NOW)
    await asyncio.sleep(0.2)
    assert await answers.get(key, NOW) is None
    assert answers.count(NOW + dt.timedelta(seconds=0.06)) == 0


async def test_never_beyond_its_own_end():
    answers = kept()
    key, end = answers.key("pharmacy-1", QUERY), NOW + dt.timedelta(seconds=10)
    await answers.keep(key, Heard(Status.OPEN, valid_until=end), NOW)
    assert await answers.get(key, end - dt.timedelta(seconds=1)) is not None
    assert await answers.get(key, end) is None
    assert answers.count(end) == 0


@pytest.mark.parametrize("seconds_left", [-3600, 0])
async def test_an_answer_that_is_over_is_not_kept(seconds_left: int):
    answers = kept()
    key = answers.key("pharmacy-1", QUERY)
    await answers.keep(key, Heard(Status.OPEN, valid_until=NOW + dt.timedelta(seconds=seconds_left)), NOW)
    assert (await answers.get(key, NOW), answers.count(NOW)) == (None, 0)


async def test_nothing_is_kept_for_no_time():
    answers = kept(seconds=0)
    key = answers.key("pharmacy-1", QUERY)
    await answers.keep(key, HEARD, NOW)
    assert await answers.get(key, NOW) is None


async def test_the_oldest_go_where_there_are_too_many():
    answers = kept(entries=3)
    keys = [answers.key(f"pharmacy-{n}", QUERY) for n in range(5)]
    for key in keys:
        await answers.keep(key, HEARD, NOW)
    assert [await answers.get(key, NOW) is not None for key in keys] == [False, False, True, True, True]
    cache: Any = answers._cache
    assert len(cache._cache) == len(answers._keys) == 3


async def test_all_is_forgotten_at_once_and_timers_of_before_end_nothing_kept_since():
    answers = kept()
    key = answers.key("pharmacy-1", QUERY)
    await answers.keep(key, HEARD, NOW)
    before: Any = answers._cache
    timer = before._handlers[key]
    answers.forget_all()
    assert (await answers.get(key, NOW), answers.count(NOW)) == (None, 0)
    await answers.keep(key, HEARD, NOW)
    timer._callback(*timer._args)
    assert await answers.get(key, NOW) is HEARD


async def test_it_is_empty_once_the_last_has_come_to_its_end_and_when_all_is_forgotten():
    answers = kept(seconds=30)
    assert answers.is_empty(NOW)
    await answers.keep(answers.key("pharmacy-1", QUERY), HEARD, NOW)
    sooner = msgspec.structs.replace(HEARD, valid_until=NOW + dt.timedelta(seconds=5))
    await answers.keep(answers.key("pharmacy-2", QUERY), sooner, NOW)
    assert not answers.is_empty(NOW + dt.timedelta(seconds=29.9))
    assert answers.is_empty(NOW + dt.timedelta(seconds=30))
    answers.forget_all()
    assert answers.is_empty(NOW)
