"""The upstream, and what it says about a query, as nouns. Pure.

Statuses are the upstream's own: it decides on live data, and nothing of the stand-in table applies to it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Protocol

import msgspec

from service.rights.model import Contract, Query, SourceKind, Status
from service.rights.reasons import Reason


class Told(msgspec.Struct, frozen=True, gc=False):
    """One contract as the upstream tells it.

    `contract` holds what was told; of a closed one only `amc`, and `closed_on` where it is known (its other members
    are empty, its payer rank 9, its `valid_from` the first day of the calendar). `rates` are those told for an open
    one, None for a benefit asked for that the contract does not list. `extracted_at` is None where the upstream
    does not say.
    """

    contract: Contract
    amc_name: str
    status: Status
    reasons: tuple[Reason, ...] = ()
    rates: Mapping[str, int | None] | None = None
    extracted_at: dt.datetime | None = None


class Heard(msgspec.Struct, frozen=True, gc=False):
    """An answer of the upstream that passed every check, the one that it answers this question included.

    `reasons` are those of the whole answer (they matter where there is no contract); `valid_until` is when the
    upstream says that its answer ends, None where it does not.
    """

    status: Status
    reasons: tuple[Reason, ...] = ()
    contracts: tuple[Told, ...] = ()
    valid_until: dt.datetime | None = None


class Consulted(msgspec.Struct, frozen=True, gc=False):
    """An answer of the upstream that counts; `kind` is `UPSTREAM`, or `CACHE` where it was kept from a moment ago."""

    kind: SourceKind
    heard: Heard


class Upstream(Protocol):
    """The service that is stood in for. Gone means `UpstreamError`, soon: it keeps its own limits of time."""

    async def ask(self, query: Query) -> Heard:
        """What it says. Raises `UpstreamUnavailable`, `UpstreamMalformed`."""
        ...

    async def close(self) -> None:
        """Close its connections."""
        ...
