"""What is true of somebody's rights on a day: read off the rows, with nothing presumed and no grace. Pure.

This is what the service that is stood in for would say: it decides on the day's data, so that a contract past its end
is over, and a suspension without end goes on. Dates are compared as the texts they are (ISO 8601).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

Row = Mapping[str, Any]
Json = dict[str, Any]
_PLACE: Final = {"open": 0, "unknown": 1, "closed": 2}
#: The order in which an answer names its reasons.
REASONS: Final = (
    "identity_not_searchable",
    "beneficiary_unknown",
    "other_amc_open",
    "other_cover_possible",
    "first_payer_not_open",
    "terminated",
    "rights_suspended",
    "not_started",
    "domain_not_listed",
    "lapsed",
    "benefit_not_listed",
)
_CARD: Final = (
    "convention",
    "csr",
    "member",
    "payer_rank",
    "responsible",
    "valid_from",
    "valid_to",
    "card_valid_to",
    "domains",
)
_CHECK: Final = "vérifiez la date de naissance, le rang, le numéro de l'autre parent et la carte"
_CAUSES: Final = {
    ("open", None): "Droits complémentaires ouverts.",
    ("open", "first_payer_not_open"): "Un contrat est ouvert, mais pas celui de l'organisme qui paie en premier.",
    ("closed", "terminated"): "Les droits auprès de cet organisme ont pris fin.",
    ("closed", "rights_suspended"): "Les droits auprès de cet organisme sont suspendus à cette date.",
    ("closed", "not_started"): "Les droits auprès de cet organisme n'ont pas commencé à cette date.",
    ("closed", "lapsed"): "La période de droits auprès de cet organisme est échue.",
    ("unknown", "identity_not_searchable"): "Ce numéro ne permet pas de recherche.",
    ("unknown", "beneficiary_unknown"): f"Bénéficiaire introuvable : {_CHECK}.",
    ("unknown", "other_amc_open"): (
        f"Bénéficiaire introuvable auprès de cet organisme, mais des droits sont ouverts auprès d'un autre : {_CHECK}."
    ),
    ("unknown", "other_cover_possible"): (
        "Les droits connus sont fermés, mais une autre complémentaire a pu prendre le relais : "
        "demandez une carte plus récente."
    ),
    ("unknown", "domain_not_listed"): "Le contrat connu ne mentionne pas ce domaine de prestations.",
}
_ADVICE: Final = {
    "apply": "Appliquez le tiers payant.",
    "check_card": "Fiez-vous à une carte de tiers payant en cours de validité.",
    "do_not_apply": "N'appliquez pas le tiers payant de cet organisme ; demandez s'il y en a un autre.",
}


class Finding(NamedTuple):
    """What is true of a whole question: status, advice, reasons, the contracts shown, and the text for the counter."""

    status: str
    advice: str
    reasons: list[str]
    contracts: list[Json]
    counter_text: str


def judge(row: Row, day: str, domain: str) -> tuple[str, str | None]:
    """Status and reason of one contract on a day."""
    if row["closed_on"] is not None and row["closed_on"] <= day:
        return "closed", "terminated"
    if any(since <= day and (until is None or day <= until) for since, until in row["suspended"]):
        return "closed", "rights_suspended"
    if day < row["valid_from"]:
        return "closed", "not_started"
    if row["domains"] and domain not in row["domains"]:
        return "unknown", "domain_not_listed"
    if row["valid_to"] is not None and row["valid_to"] < day:
        return "closed", "lapsed"
    return "open", None


def find(rows: Sequence[Row], day: str, domain: str, amc: str | None, benefits: Sequence[str]) -> Finding:
    """What is true of the person whose rows these are. With `amc`, only that insurer's contracts count."""
    judged = [(row, *judge(row, day, domain)) for row in rows]
    shown = [_contract(*one, benefits) for one in judged if amc is None or one[0]["amc"] == amc]
    if not shown:
        elsewhere = any(status == "open" for _, status, _ in judged)
        return _finding("unknown", ["beneficiary_unknown", *(["other_amc_open"] if elsewhere else [])], [])
    shown.sort(key=lambda one: (_PLACE[one["status"]], one["payer_rank"], one["amc"], one["member"]))
    first = shown[0]
    status, own = first["status"], []
    if status == "open" and any(one["payer_rank"] < first["payer_rank"] for one in shown):
        own = ["first_payer_not_open"]
    elif status == "closed" and amc is None:
        status, own = "unknown", ["other_cover_possible"]
    main = own or [] if status == "open" else own or first["reasons"]
    return _finding(status, main, [_told(one) for one in shown])


def nobody() -> Finding:
    """What is said of a number that stands for nobody: it is not looked up."""
    return _finding("unknown", ["identity_not_searchable"], [])


def _finding(status: str, main: list[str], contracts: list[Json]) -> Finding:
    advice = {"open": "apply", "closed": "do_not_apply"}.get(status, "check_card")
    if main == ["first_payer_not_open"]:
        advice = "check_card"
    named = {*main, *(reason for contract in contracts for reason in contract["reasons"])}
    text = f"{_CAUSES[status, main[-1] if main else None]} {_ADVICE[advice]}"
    return Finding(status, advice, [reason for reason in REASONS if reason in named], contracts, text)


def _contract(row: Row, status: str, reason: str | None, benefits: Sequence[str]) -> Json:
    told = {"amc": row["amc"], "status": status, "reasons": [] if reason is None else [reason]}
    told |= {name: row[name] for name in _CARD}
    if status == "closed":
        told["closed_on"] = _closed_on(row, reason)
    elif status == "open":
        rates = row["rates"]
        told["rate_base"] = row["rate_base"]
        told["rates"] = {code: rates.get(code) for code in benefits} if benefits else rates
        if None in told["rates"].values():
            told["reasons"].append("benefit_not_listed")
    return told


def _told(contract: Json) -> Json:
    """A contract without what is not to be shown: a closed one does not give its card away."""
    if contract["status"] != "closed":
        return contract
    return {name: value for name, value in contract.items() if name not in _CARD}


def _closed_on(row: Row, reason: str | None) -> str | None:
    """The first day without rights, where the contract's end closed it."""
    if reason == "lapsed":
        return (dt.date.fromisoformat(row["valid_to"]) + dt.timedelta(days=1)).isoformat()
    closed_on: str | None = row["closed_on"] if reason == "terminated" else None
    return closed_on
