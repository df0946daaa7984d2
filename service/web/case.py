"""One query on its way to a recorded answer."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any, Protocol

from service.access.allowance import Charge
from service.access.clients import Client
from service.rights.decide import Decision
from service.rights.heard import Consulted
from service.rights.model import Absence, Contract, Knowledge, Query


class Place(Protocol):
    """Where what a case came to is put: an `asyncio.Future`, or a place in a batch. Once, while not `done`."""

    def done(self) -> bool:
        """Whether nobody waits any more."""
        ...

    def set_result(self, result: bytes, /) -> None:
        """The recorded answer."""
        ...

    def set_exception(self, exception: BaseException, /) -> None:
        """Why there is none."""
        ...


class Company(Protocol):
    """Those that a case goes with: they are worked out and recorded together, or not at all."""

    @property
    def going(self) -> bool:
        """Whether the last of them has been waited for."""
        ...

    def arrived(self, case: Case, now: dt.datetime) -> Sequence[Case]:
        """One of them waits for nothing but the others. All of them where the others came at this same instant too.

        Where some came before, all come back for the next turn instead: much may have changed since.
        """
        ...


class Case:
    """One query on its way through the stages; each fills its own member in.

    `understood` ends the first stage. A query for the upstream leaves the others there (`away`) and comes back with
    what was `consulted`, None where that was nothing that counts; `upstream` says that it was to be asked. So does one
    whose lookup must first be lent, and is `admitted` once there is a `charge` for it. One of a batch then waits for
    its `company`.
    """

    understood = False
    admitted = False
    upstream = False
    away = False
    company: Company | None = None
    charge: Charge | None = None
    consulted: Consulted | None = None
    query: Query
    identity: str | None
    asked: bytes
    record: tuple[Contract, ...] | Absence
    decision: Decision
    source: Knowledge
    members: dict[str, Any]
    opening: bytes
    answer: bytes

    def __init__(self, client: Client, body: bytes, future: Place) -> None:
        self.client = client
        self.body = body
        self.future = future

    def release(self) -> None:
        """No answer is recorded: what was charged for it is given back."""
        if self.charge is not None:
            self.charge.release()


def fail(cases: Sequence[Case], error: BaseException) -> None:
    """None of them gets an answer, for this reason."""
    for case in cases:
        case.release()
        if not case.future.done():
            case.future.set_exception(error)
