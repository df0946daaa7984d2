"""The one map from inner errors to HTTP: RFC 9457 problem details with a stable code.

The catalogue is frozen: codes, statuses and actions never change within `/v1`; docs/errors.md repeats it for people.
`counter_text` is for the person at the counter, `detail` for the vendor. Neither echoes what was sent, and an error
that is not ours says nothing but `internal`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import orjson

from service.errors import CallerError, FinessNotAllowed, LimitReached, RelaisError

CONTENT_TYPE: Final = "application/problem+json"
_A_DAY_SECONDS: Final = 86_400

_CONTACT_VENDOR: Final = "La demande n'a pas pu être traitée : contactez l'éditeur de votre logiciel."
_CHECK_CARD: Final = "Droits non vérifiables pour le moment : vérifiez la carte de tiers payant du patient."
_TRY_AGAIN: Final = "La demande n'a pas abouti : réessayez."


@dataclass(frozen=True, slots=True)
class Problem:
    """One entry of the catalogue. `action`: fix the request, retry it, check_card meanwhile, or contact us."""

    status: int
    title: str
    action: str
    counter_text: str


CATALOGUE: Final[Mapping[str, Problem]] = {
    "malformed_request": Problem(400, "The request is not HTTP/1.1 as we accept it", "fix", _CONTACT_VENDOR),
    "malformed_json": Problem(400, "The body is not one JSON text in UTF-8 with distinct keys", "fix", _CONTACT_VENDOR),
    "token_missing": Problem(401, "A bearer token is needed", "fix", _CONTACT_VENDOR),
    "token_invalid": Problem(401, "The token is not valid here", "fix", _CONTACT_VENDOR),
    "token_expired": Problem(401, "The token has expired", "fix", _TRY_AGAIN),
    "client_suspended": Problem(
        403,
        "This client is suspended",
        "contact",
        "L'accès de votre officine est suspendu : contactez le support et, en attendant, vérifiez la carte.",
    ),
    "scope_missing": Problem(403, "This client's class may not do this", "contact", _CONTACT_VENDOR),
    "finess_not_allowed": Problem(403, "This FINESS is not on the hub's list", "contact", _CONTACT_VENDOR),
    "not_found": Problem(404, "No such resource", "fix", _CONTACT_VENDOR),
    "method_not_allowed": Problem(405, "The resource does not know this method", "fix", _CONTACT_VENDOR),
    "request_timeout": Problem(408, "The request did not arrive in time", "retry", _TRY_AGAIN),
    "conflict": Problem(409, "The request contradicts the current state", "fix", _CONTACT_VENDOR),
    "precondition_failed": Problem(412, "The resource has changed since it was read", "retry", _TRY_AGAIN),
    "body_too_large": Problem(413, "The body exceeds its limit", "fix", _CONTACT_VENDOR),
    "media_type": Problem(415, "Send application/json without content encoding", "fix", _CONTACT_VENDOR),
    "invalid_field": Problem(
        422,
        "A field is missing, unknown, of the wrong type or out of range",
        "fix",
        "Une information saisie n'est pas valide : vérifiez le numéro, la date de naissance et le rang.",
    ),
    "precondition_required": Problem(428, "A write needs If-Match", "fix", _CONTACT_VENDOR),
    "too_fast": Problem(
        429, "Too many lookups at once", "retry", "Trop de demandes à la fois : réessayez dans un instant."
    ),
    "budget_exhausted": Problem(
        429,
        "The day's lookups are used up",
        "check_card",
        "La limite de consultations du jour est atteinte : vérifiez la carte de tiers payant du patient.",
    ),
    "header_too_large": Problem(431, "The request head exceeds its limit", "fix", _CONTACT_VENDOR),
    "internal": Problem(500, "Something failed on our side", "retry", _CHECK_CARD),
    "service_suspended": Problem(503, "The service is suspended by an order", "check_card", _CHECK_CARD),
    "no_snapshot": Problem(503, "No verified snapshot is active", "check_card", _CHECK_CARD),
    "journal_unwritable": Problem(503, "The answer could not be recorded", "check_card", _CHECK_CARD),
    "overloaded": Problem(503, "Too much work in flight", "check_card", _CHECK_CARD),
    "spendings_unavailable": Problem(503, "What clients have read is not known now", "check_card", _CHECK_CARD),
}


def code_of(error: Exception) -> str:
    """The catalogue's code for an error; `internal` for everything the catalogue does not list."""
    code = error.code if isinstance(error, RelaisError) else "internal"
    return code if code in CATALOGUE else "internal"


def problem(error: Exception, extra: Mapping[str, str] | None = None) -> tuple[int, bytes]:
    """HTTP status and problem details of an error; `extra` members (such as `server_time`) are added."""
    return CATALOGUE[code_of(error)].status, orjson.dumps({**document(error), **(extra or {})})


def document(error: Exception) -> dict[str, str | int]:
    """The problem details of an error."""
    code = code_of(error)
    entry = CATALOGUE[code]
    members: dict[str, str | int] = {
        "type": f"/problems/{code}",
        "title": entry.title,
        "status": entry.status,
        "code": code,
        "action": entry.action,
        "counter_text": entry.counter_text,
    }
    if code != "internal" and isinstance(error, RelaisError) and error.detail:
        members["detail"] = error.detail
    if isinstance(error, CallerError) and (error.pointer or code == "invalid_field"):
        members["pointer"] = error.pointer
    return members


def document_at(error: Exception, place: str) -> dict[str, str | int]:
    """The problem details of what went wrong with one query of a batch: the pointer says with which.

    `retry_after` (seconds) is the header that a refusal by itself would have had.
    """
    members = document(error)
    pointer = "/finess" if isinstance(error, FinessNotAllowed) else members.get("pointer", "")
    members["pointer"] = f"{place}{pointer}"
    if isinstance(error, LimitReached):
        members["retry_after"] = retry_after_seconds(error)
    return members


def retry_after_seconds(error: LimitReached) -> int:
    """When to ask again: within a day, for by then each limit is whole."""
    return max(1, math.ceil(min(error.seconds, _A_DAY_SECONDS)))
