"""Refusals as RFC 9457 problems, with the codes and the words of the published catalogue (docs/errors.md). Pure."""

from __future__ import annotations

import datetime as dt
import random
from typing import Final, NamedTuple

import orjson

CONTENT_TYPE: Final = "application/problem+json"


class Problem(NamedTuple):
    """One entry of the catalogue: status, title, what the caller does, the sentence for the counter."""

    status: int
    title: str
    action: str
    counter_text: str


_VENDOR: Final = "La demande n'a pas pu être traitée : contactez l'éditeur de votre logiciel."
_CARD: Final = "Droits non vérifiables pour le moment : vérifiez la carte de tiers payant du patient."

CATALOGUE: Final = {
    "malformed_json": Problem(400, "The body is not one JSON text in UTF-8 with distinct keys", "fix", _VENDOR),
    "token_invalid": Problem(401, "The token is not valid here", "fix", _VENDOR),
    "client_suspended": Problem(
        403,
        "This client is suspended",
        "contact",
        "L'accès de votre officine est suspendu : contactez le support et, en attendant, vérifiez la carte.",
    ),
    "not_found": Problem(404, "No such resource", "fix", _VENDOR),
    "method_not_allowed": Problem(405, "The resource does not know this method", "fix", _VENDOR),
    "body_too_large": Problem(413, "The body exceeds its limit", "fix", _VENDOR),
    "media_type": Problem(415, "Send application/json without content encoding", "fix", _VENDOR),
    "invalid_field": Problem(
        422,
        "A field is missing, unknown, of the wrong type or out of range",
        "fix",
        "Une information saisie n'est pas valide : vérifiez le numéro, la date de naissance et le rang.",
    ),
    "too_fast": Problem(
        429, "Too many lookups at once", "retry", "Trop de demandes à la fois : réessayez dans un instant."
    ),
    "internal": Problem(500, "Something failed on our side", "retry", _CARD),
    "overloaded": Problem(503, "Too much work in flight", "check_card", _CARD),
}
_BY_STATUS: Final = {problem.status: code for code, problem in CATALOGUE.items()}


def problem(code: str, detail: str = "", pointer: str = "") -> bytes:
    """The document of a refusal. Of a 422 it always has a pointer, `""` being the whole body."""
    entry = CATALOGUE[code]
    document: dict[str, object] = {"type": f"/problems/{code}", "code": code, **entry._asdict()}
    if detail:
        document["detail"] = detail
    if pointer or code == "invalid_field":
        document["pointer"] = pointer
    if entry.status == 401:
        document["server_time"] = f"{dt.datetime.now(dt.UTC):%Y-%m-%dT%H:%M:%SZ}"
    return orjson.dumps(document)


def failure(status: int, chance: random.Random) -> tuple[dict[str, str], bytes]:
    """Headers and document of an error ordered by its status; one that the catalogue lacks has no code."""
    headers = {"Content-Type": CONTENT_TYPE}
    if status in (429, 503):
        headers["Retry-After"] = str(chance.randint(30, 90))
    code = _BY_STATUS.get(status)
    if code is None:
        return headers, orjson.dumps({"type": "about:blank", "title": "Failed as ordered", "status": status})
    return headers, problem(code)
