"""A retry under its request id is the same request: same answer, same receipt, not charged again.

Best effort and per worker: kept in this process's memory through aiocache, bounded, for a few minutes. An answer that
failed is forgotten, so that a retry can succeed.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import math
from collections import OrderedDict
from collections.abc import Callable

from aiocache import SimpleMemoryCache

from service.errors import Conflict


class Retries:
    """Answers by request key, `seconds` long, at most `entries` of them (aiocache's memory has no bound of its own).

    Of what they come to, about `most_bytes`: what is beyond goes once a further one comes.
    """

    def __init__(self, seconds: float, entries: int, most_bytes: float = math.inf) -> None:
        self._cache = SimpleMemoryCache(timeout=None)
        self._seconds = seconds
        self._entries = entries
        self._most_bytes = most_bytes
        self._kept_bytes = 0
        #: Keys, oldest first, with the bytes counted for each.
        self._keys: OrderedDict[str, int] = OrderedDict()

    async def once(self, key: str, body: bytes, answer: Callable[[], asyncio.Future[bytes]]) -> bytes:
        """The answer to the first request under `key`, also while it is still being made.

        Raises `Conflict` where another body came under the same key, and whatever `answer` raises.
        """
        digest = hashlib.sha256(body).digest()
        known: tuple[bytes, asyncio.Future[bytes]] | None = await self._cache.get(key)
        if known is not None and not _failed(known[1]):
            if known[0] != digest:
                raise Conflict("another body was sent under this X-Request-Id")
            return await asyncio.shield(known[1])
        task = answer()
        await self._cache.set(key, (digest, task), ttl=self._seconds)
        self._kept_bytes -= self._keys.pop(key, 0)
        self._keys[key] = 0
        task.add_done_callback(functools.partial(self._weigh, key))
        while len(self._keys) > self._entries or self._kept_bytes > self._most_bytes:
            forgotten, size = self._keys.popitem(last=False)
            self._kept_bytes -= size
            await self._cache.delete(forgotten)
        # Shielded: if the first caller hangs up, the retry still finds the answer being made.
        return await asyncio.shield(task)

    def _weigh(self, key: str, answered: asyncio.Future[bytes]) -> None:
        if key in self._keys and not _failed(answered):
            size = len(answered.result())
            self._kept_bytes += size - self._keys[key]
            self._keys[key] = size


def _failed(future: asyncio.Future[bytes]) -> bool:
    return future.done() and (future.cancelled() or future.exception() is not None)
