"""Answers of the upstream, kept for a short while in this process's memory, through aiocache.

An answer is given again only to the client that asked, for the same pharmacy and the same question, so that nobody
learns from the speed of an answer, or from its source, that somebody else asked. Keys are pseudonyms under a random key
that never leaves the process; nothing is written anywhere.
"""

from __future__ import annotations

import datetime as dt
import hmac
from collections import OrderedDict
from typing import Final

from aiocache import SimpleMemoryCache

from service.rights.heard import Heard
from service.rights.model import Query
from service.rights.question import normalised

_LONG_AGO: Final = dt.datetime.min.replace(tzinfo=dt.UTC)


class Kept:
    """At most `entries` answers, each `seconds` long and never beyond its own `valid_until`; 0 seconds: none.

    `secret` makes the pseudonyms: random bytes, new in each process.
    """

    def __init__(self, seconds: float, entries: int, secret: bytes) -> None:
        self._seconds = seconds
        self._entries = entries
        self._secret = secret
        self._empty_from: dt.datetime
        self.forget_all()

    def key(self, caller: str, query: Query) -> str:
        """What an answer to this client's question is kept under; the question as normalised names the pharmacy."""
        return hmac.digest(self._secret, caller.encode() + b"\0" + normalised(query), "sha256").hex()

    async def get(self, key: str, now: dt.datetime) -> Heard | None:
        """The answer kept under a key, None if there is none, or if it has come to its end."""
        heard: Heard | None = await self._cache.get(key)
        return None if heard is None or _is_over(heard, now) else heard

    async def keep(self, key: str, heard: Heard, now: dt.datetime) -> None:
        """Keep an answer, dropping the one that was kept longest where there are too many."""
        seconds = self._seconds
        if heard.valid_until is not None:
            seconds = min(seconds, (heard.valid_until - now).total_seconds())
        if seconds <= 0:  # aiocache takes 0 for "without end"
            return
        cache, keys = self._cache, self._keys
        keys[key] = now + dt.timedelta(seconds=seconds)
        keys.move_to_end(key)
        self._empty_from = max(self._empty_from, keys[key])
        await cache.set(key, heard, ttl=seconds)
        while len(keys) > self._entries:
            await cache.delete(keys.popitem(last=False)[0])

    def forget_all(self) -> None:
        """Forget every answer at once.

        A new cache rather than `clear()`, whose old timers would shorten the life of what is kept next under the
        same key. The timers of the old one drop its last reference, within `seconds`.
        """
        self._cache = SimpleMemoryCache(timeout=None)
        self._keys: OrderedDict[str, dt.datetime] = OrderedDict()
        self._empty_from = _LONG_AGO

    def is_empty(self, now: dt.datetime) -> bool:
        """Whether nothing can be kept any more: what was kept longest has come to its end."""
        return now >= self._empty_from

    def count(self, now: dt.datetime) -> int:
        """How many answers are kept."""
        return sum(end > now for end in self._keys.values())


def _is_over(heard: Heard, now: dt.datetime) -> bool:
    return heard.valid_until is not None and heard.valid_until <= now
