"""Rows, policies and plans that are good as they are, to be bent in one place."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from service.snapshot.plan import BuildPlan

NOW = dt.datetime(2024, 1, 29, 6, 0, tzinfo=dt.UTC)
PEPPER = b"a pepper of thirty-two bytes....."
NIR = "185057511600159"

POLICY = """
[[amc]]
number = "775671993"
name = "Mutuelle des Vagues"
extracted_at = 2024-01-28T22:00:00+01:00
[amc.stand_in]
allowed = true
renewal_grace_days = 31
closed_trust_days = 7
max_age_days = 30
on_unknown = "check_card"
[amc.stand_in.guarantee]
basis = "convention"
until = 2024-12-31
ceiling_cents = 50000

[[amc]]
number = "0012345678"
name = "Prévoyance du Nord"
extracted_at = 2024-01-27T23:30:00Z
[amc.stand_in]
allowed = false
renewal_grace_days = 0
closed_trust_days = 0
max_age_days = 10
on_unknown = "patient_pays"
"""


def row(**changes: Any) -> dict[str, Any]:
    return {
        "nir": NIR,
        "birth_date": "1985-05-12",
        "birth_rank": 1,
        "amc": "0775671993",
        "member": "M0012345",
        "csr": "CSR1",
        "convention": "RO",
        "payer_rank": 1,
        "valid_from": "2023-01-01",
        "valid_to": "2024-12-31",
        "card_valid_to": None,
        "closed_on": None,
        "suspended": [],
        "responsible": True,
        "domains": ["PHAR"],
        "rates": {"PH7": 100, "PH4": 100},
        "rate_base": "TR",
        **changes,
    }


def nir_of(number: int) -> str:
    """A NIR of a made-up person, without its key."""
    return f"1{number % 100:02d}0575{number:06d}"


def json_line(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def ndjson(rows: Iterable[dict[str, Any]]) -> bytes:
    return b"".join(json_line(value) + b"\n" for value in rows)


def csv_text(rows: list[dict[str, Any]], delimiter: str = ";") -> str:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter)
    writer.writerow(rows[0])
    for value in rows:
        writer.writerow([_cell(cell) for cell in value.values()])
    return text.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def plan(folder: Path, data: bytes, **changes: Any) -> BuildPlan:
    source, policy = folder / "rows.ndjson", folder / "policy.toml"
    source.write_bytes(data)
    policy.write_text(POLICY, "utf-8")
    values: dict[str, Any] = {
        "sources": (source,),
        "policy": policy,
        "out": folder / "snapshot",
        "sequence": 1,
        "pepper_kid": "pepper-1",
        "pepper": PEPPER,
        **changes,
    }
    return BuildPlan(**values)
