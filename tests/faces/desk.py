"""What a pharmacy's software knows: people to ask for, how to ask, and how to check what comes back."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
import json
import zoneinfo
from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import cached_property
from http.client import HTTPConnection
from typing import Any, Final

from stubs.proof import Head, Keys, parse_jwks, verify_response
from tests.fleet import Installation, Reply

COUNTER: Final = "counter"
COUNTER_FINESS: Final = "330012342"
HUB: Final = "test-hub"
PARIS: Final = zoneinfo.ZoneInfo("Europe/Paris")
#: A NIR with a good key that nobody in the demo population has (its commune is never dealt out there).
NOBODY: Final = {"nir": "185057599900150", "birth_date": "1985-05-12", "birth_rank": 1}
FICTITIOUS: Final = "2555555123030"
Row = dict[str, Any]


class Counter:
    """Asks as a client, checks that the answer holds, and hands it on."""

    def __init__(self, served: Installation) -> None:
        self.served = served

    def post(
        self,
        query: Any,
        client: str = COUNTER,
        headers: Mapping[str, str] | None = None,
        connection: HTTPConnection | None = None,
    ) -> Reply:
        """The reply to a query, whatever it is."""
        return self.served.ask(query, client, headers, connection)

    def ask(self, query: Any, client: str = COUNTER) -> dict[str, Any]:
        """The answer to a good query; its receipt and its commitment to the query have been checked."""
        response = self.response(query, client)
        answer: dict[str, Any] = response["answer"]
        return answer

    def response(self, query: Any, client: str = COUNTER) -> dict[str, Any]:
        """The whole response to a good query, checked."""
        reply = self.post(query, client)
        assert reply.status == 200, reply.body
        response: dict[str, Any] = reply.json()
        self.verify(query, response)
        return response

    def verify(self, query: Any, response: Mapping[str, Any]) -> Head:
        """The head that a response's receipt names, by code that shares nothing with the product."""
        return verify_response(query, response, self.keys)

    @cached_property
    def keys(self) -> Keys:
        """The published receipt keys."""
        return parse_jwks(self.served.request("GET", "/.well-known/jwks.json").json())

    @cached_property
    def people(self) -> dict[tuple[str, str, int], list[Row]]:
        """Source rows by (NIR, birth date, rank)."""
        found: dict[tuple[str, str, int], list[Row]] = defaultdict(list)
        for row in self.served.rows():
            found[row["nir"], row["birth_date"], row["birth_rank"]].append(row)
        return found

    def row(self, fits: Callable[[Row], bool]) -> Row:
        """The row of somebody with one contract only, for which `fits` holds."""
        return next(rows[0] for rows in self.people.values() if len(rows) == 1 and fits(rows[0]))

    def an_open_row(self, fits: Callable[[Row], bool] = lambda _: True) -> Row:
        """Somebody whose only contract is open today and for months, at one of the first two AMCs."""
        today = dt.datetime.now(PARIS).date()
        soon, before = ((today + dt.timedelta(days)).isoformat() for days in (30, -91))
        return self.row(
            lambda row: (
                row["amc"] in ("0990000011", "0990000022")
                and not row["suspended"]
                and not row["domains"]
                and row["closed_on"] is None
                and (row["valid_to"] is None or row["valid_to"] > soon)
                and row["valid_from"] < before
                and fits(row)
            )
        )


def person(row: Row) -> dict[str, Any]:
    """The first shape of a beneficiary: insured's NIR, birth date, rank."""
    return {"nir": row["nir"], "birth_date": row["birth_date"], "birth_rank": row["birth_rank"]}


def holder(row: Row) -> dict[str, Any]:
    """The second shape: AMC and member number as printed on the card, birth date, rank."""
    card = {"amc": row["amc"], "member": row["member"]}
    return {**card, "birth_date": row["birth_date"], "birth_rank": row["birth_rank"]}


def canonical(value: Any) -> bytes:
    """RFC 8785 bytes of JSON without floats and with ASCII member names, by the standard library."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def commitment(opening: str, normalised: Any) -> str:
    """What `asked` must be for a normalised query."""
    key = base64.urlsafe_b64decode(opening + "==")
    assert len(key) == 16
    digest = hmac.digest(key, canonical(normalised), hashlib.sha256)
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def set_member(query: Mapping[str, Any], pointer: str, value: Any) -> dict[str, Any]:
    """A copy of a query with one member set, named by a JSON pointer."""
    copy: dict[str, Any] = json.loads(json.dumps(query))
    place = copy
    *path, last = pointer.strip("/").split("/")
    for step in path:
        place = place[step]
    place[last] = value
    return copy
