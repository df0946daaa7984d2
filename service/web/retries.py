"""A retry under its request id is the same request: same answer, same receipt, not charged again.

Best effort and per worker: kept in this process's memory through aiocache, bounded, for a few minutes. An answer that
failed is forgotten, so that a retry can succeed.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable

from aiocache import SimpleMemoryCache

from service.errors import Conflict


class Retries:
    """Answers by request key; `seconds` long, at most `entries` of them (aiocache's memory has no bound of its own)."""

    def __init__(self, seconds: float, entries: int) -> None:
        self._cache = SimpleMemoryCache(timeout=None)
        self._seconds = seconds
        self._entries = entries
        self._keys: OrderedDict[str, None] = OrderedDict()

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
        self._keys[key] = None
        self._keys.move_to_end(key)
        while len(self._keys) > self._entries:
            await self._cache.delete(self._keys.popitem(last=False)[0])
        # Shielded: if the first caller hangs up, the retry still finds the answer being made.
        return await asyncio.shield(task)


def _failed(future: asyncio.Future[bytes]) -> bool:
    return future.done() and (future.cancelled() or future.exception() is not None)
