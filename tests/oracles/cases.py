"""Cases for the oracle: one plain contract, one plain source, and `ask` with what a test changes in them.

On 5 February 2024, 10:30 in Paris, two extracts: OLD, of 31 January at noon, so four whole days old, and RECENT, of
the evening before, not yet a day old.
"""

from __future__ import annotations

from typing import Any

from tests.oracles import decision

Json = dict[str, Any]
NOW = "2024-02-05T09:30:12.123Z"
OLD = "2024-01-31T12:00:00Z"
RECENT = "2024-02-04T20:00:00Z"
FIRST, SECOND = "0000000101", "0000000102"
POLICY: Json = {
    "allowed": True,
    "renewal_grace_days": 10,
    "closed_trust_days": 2,
    "max_age_days": 30,
    "on_unknown": "patient_pays",
    "history_days": 0,
    "guarantee": None,
}


def contract(**changed: Any) -> Json:
    return {
        "amc": FIRST,
        "member": "M1",
        "csr": "A12",
        "convention": "RO",
        "payer_rank": 1,
        "valid_from": "2023-01-01",
        "valid_to": "2024-12-31",
        "card_valid_to": None,
        "closed_on": None,
        "suspended": [],
        "responsible": True,
        "domains": ["PHAR"],
        "rates": {"PH7": 100, "PH4": 65},
        "rate_base": "TR",
    } | changed


def knowledge(extracted_at: str = RECENT, /, kind: str = "snapshot", **policy: Any) -> Json:
    amc = {"name": "Mutuelle", "extracted_at": extracted_at, "stand_in": POLICY | policy}
    return {
        "kind": kind,
        "snapshot": 42,
        "signed_at": "2024-02-04T23:00:00Z",
        "valid_until": "2024-02-11T23:00:00Z",
        "amcs": {FIRST: amc, SECOND: amc},
        "out_of_scope": ["0075500017"],
    }


def ask(*contracts: Json, known: Json | None = None, now: str = NOW, record: str = "", **changed: Any) -> Json:
    """The oracle's answer; `changed` goes to the question or, where it belongs there, to the stance."""
    query = {"service_date": "2024-02-05", "domain": "PHAR", "benefits": [], "amc": None}
    stance = {"mode": "degraded", "upstream_failed": False, "excluded": [], "clock_suspect": False, "pinned": False}
    for key, value in changed.items():
        (stance if key in stance else query)[key] = value
    return decision.answer(record or list(contracts), query, known or knowledge(), stance, now)
