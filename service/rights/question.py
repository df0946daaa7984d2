"""What a normalised query is in bytes, and which identity it looks for. Pure."""

from __future__ import annotations

from typing import Any

from service import identifiers
from service.rights.model import Query
from service.strictjson import canonical


def normalised(query: Query) -> bytes:
    """RFC 8785 bytes of the query as normalised: what a receipt's `asked` commits to (docs/journal_format.md)."""
    person: dict[str, Any] = {"birth_date": query.birth_date, "birth_rank": query.birth_rank}
    if query.nir is not None:
        person["nir"] = query.nir
    else:
        person["amc"], person["member"] = query.amc, query.member
    return canonical(
        {
            "beneficiary": person,
            "finess": query.finess,
            "service_date": query.service_date.isoformat(),
            "domain": query.domain,
            "benefits": query.benefits,
            "amc": query.amc,
        }
    )


def identity(query: Query) -> str | None:
    """The canonical identity to look for; None for a fictitious NIR, which is never looked up, kept or sealed."""
    if query.nir is None:
        return identifiers.amc_identity(query.amc or "", query.member or "", query.birth_date, query.birth_rank)
    if identifiers.is_fictitious(query.nir):
        return None
    return identifiers.nir_identity(query.nir, query.birth_date, query.birth_rank)
