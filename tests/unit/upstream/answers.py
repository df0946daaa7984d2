"""Questions about nobody, and answers as an upstream that keeps to docs/http.md would give them."""

from __future__ import annotations

import datetime as dt
import hmac
import json
from typing import Any

import msgspec

from service.base64url import b64u
from service.rights.model import Query
from service.rights.question import normalised

OPENING = bytes(range(16))
AMC = "0990000011"
QUERY = Query(
    birth_date="1985-05-12",
    birth_rank=1,
    finess="750012346",
    service_date=dt.date(2024, 2, 5),
    domain="PHAR",
    benefits=("PH4", "PH7"),
    nir="1850575116001",
)
BY_CARD = msgspec.structs.replace(QUERY, nir=None, member="A-12/3", amc=AMC)
OF_AMC = msgspec.structs.replace(QUERY, amc=AMC)
CARD = {
    "amc": AMC,
    "amc_name": "Mutuelle fictive",
    "reasons": [],
    "convention": "SP",
    "csr": "123",
    "member": "A-12/3",
    "payer_rank": 1,
    "responsible": True,
    "valid_from": "2024-01-01",
    "valid_to": "2024-12-31",
    "card_valid_to": None,
    "domains": ["PHAR", "LABO"],
    "extracted_at": "2024-02-04T23:00:00Z",
    "freshness": "fresh",
}
OPEN = {**CARD, "status": "open", "rate_base": "TM", "rates": {"PH4": 35, "PH7": None, "PH2": 100}}
UNKNOWN = {**CARD, "status": "unknown", "reasons": ["domain_not_listed"]}
CLOSED = {"amc": AMC, "amc_name": "Mutuelle fictive", "status": "closed", "reasons": ["terminated"], "closed_on": None}


def another(query: Query) -> Query:
    """The same question about somebody else."""
    return msgspec.structs.replace(query, birth_rank=query.birth_rank + 1)


def asked(query: Query, opening: bytes = OPENING) -> str:
    return b64u(hmac.digest(opening, normalised(query), "sha256"))


def envelope(query: Query, *contracts: dict[str, Any], status: str = "open", **members: Any) -> dict[str, Any]:
    answer = {
        "id": "01a20c5e-0000-7000-8000-000000000000",
        "asked": asked(query),
        "service_date": query.service_date.isoformat(),
        "status": status,
        "advice": "apply",
        "reasons": [],
        "source": {"kind": "upstream", "extracted_at": "2024-02-05T09:00:00Z", "valid_until": None},
        "contracts": list(contracts),
        **members,
    }
    return {"answer": answer, "counter_text": "…", "opening": b64u(OPENING), "receipt": None}


def answer(query: Query, *contracts: dict[str, Any], status: str = "open", **members: Any) -> bytes:
    return json.dumps(envelope(query, *contracts, status=status, **members)).encode()


def yes(query: Query) -> bytes:
    return answer(query, OPEN)


def no(query: Query) -> bytes:
    return answer(query, status="unknown", reasons=["beneficiary_unknown"])
