"""Identifiers that sort by their time of making. Pure."""

from __future__ import annotations

from typing import Final

#: Random bytes that `uuid7` takes.
UUID7_BYTES: Final = 10


def uuid7(milliseconds: int, chance: bytes) -> str:
    """A UUIDv7 (RFC 9562 §5.7) from Unix milliseconds and 10 random bytes."""
    time, random = f"{milliseconds:012x}", chance.hex()
    return f"{time[:8]}-{time[8:]}-7{random[:3]}-{'89ab'[chance[9] & 3]}{random[3:6]}-{random[6:18]}"
