"""An answer in plain French: what was asked when and by whom, what it rests on, and why each part says what it says.

From the answer alone, as a pharmacy holds it. Member numbers are left out: whoever needs them has the answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from service.rights.reasons import Reason, sentence

_STATUS: Final = {"open": "droits ouverts", "unknown": "droits non déterminés", "closed": "droits fermés"}
_ADVICE: Final = {
    "apply": "appliquer le tiers payant",
    "apply_unguaranteed": "appliquer le tiers payant, sans garantie de paiement",
    "check_card": "se fier à la carte présentée",
    "patient_pays": "faire régler la part complémentaire par le patient",
    "do_not_apply": "ne pas appliquer le tiers payant",
}
_MODE: Final = {
    "live": "Visiodroits est interrogé, l'instantané signé ne sert qu'à défaut",
    "degraded": "Visiodroits n'est pas interrogé, l'instantané signé en tient lieu",
    "suspended": "le service est suspendu",
}
_SOURCE: Final = {
    "upstream": "la réponse de Visiodroits",
    "cache": "une réponse récente de Visiodroits",
    "snapshot": "l'instantané signé",
}
_FRESHNESS: Final = {
    "fresh": "de moins de 24 heures",
    "aging": "de moins de 72 heures",
    "stale": "anciennes, mais encore admises par l'organisme",
    "expired": "trop anciennes",
}
_REASONS: Final = frozenset(Reason)


def explain_answer(response: Mapping[str, Any]) -> Iterator[str]:
    """Lines of text for a response of `POST /v1/rights`, whoever made it up."""
    for line in _lines(response):
        # The file proves nothing yet: control characters in it must not reach a terminal.
        yield "".join(character for character in line if character.isprintable())


def _lines(response: Mapping[str, Any]) -> Iterator[str]:
    answer = response["answer"]
    asker = _part(answer, "for")
    yield f"Réponse {_text(answer, 'id')} du {_text(answer, 'at')}"
    yield f"Demandée par {_text(asker, 'client')} (FINESS {_text(asker, 'finess')})"
    yield f"Date de délivrance : {_text(answer, 'service_date')}"
    yield f"Mode : {_word(_MODE, answer.get('mode'))}{_order(answer)}"
    yield f"Source : {_source(_part(answer, 'source'))}"
    yield f"Résultat : {_word(_STATUS, answer.get('status'))}"
    yield f"Conseil : {_word(_ADVICE, answer.get('advice'))}"
    yield from _why(answer, "  ")
    for contract in _list(answer, "contracts"):
        yield from _contract(contract)
    if response.get("counter_text") is not None:
        yield f"Au comptoir : {_text(response, 'counter_text')}"
    yield "Rien n'est vérifié ici : voir relais receipt verify"


def _order(answer: Mapping[str, Any]) -> str:
    order = answer.get("mode_order")
    return "" if order is None else f" (ordre {order})"


def _source(source: Mapping[str, Any]) -> str:
    kind = _word(_SOURCE, source.get("kind"))
    if source.get("kind") != "snapshot":
        return kind
    text = f"{kind} n° {_text(source, 'snapshot')}, valable jusqu'au {_text(source, 'valid_until')}"
    if source.get("extracted_at") is None:
        return text
    return f"{text}, données du {_text(source, 'extracted_at')} ({_word(_FRESHNESS, source.get('freshness'))})"


def _contract(contract: Mapping[str, Any]) -> Iterator[str]:
    name = f"{contract['amc_name']}, " if isinstance(contract.get("amc_name"), str) else ""
    yield f"Contrat {name}AMC {_text(contract, 'amc')} : {_word(_STATUS, contract.get('status'))}"
    if contract.get("closed_on") is not None:
        yield f"  sans droits depuis le {_text(contract, 'closed_on')}"
    if contract.get("valid_from") is not None:
        since, until = _text(contract, "valid_from"), contract.get("valid_to")
        yield f"  période du {since} au {until}" if until else f"  depuis le {since}, sans fin connue"
    yield from _why(contract, "  ")


def _why(part: Mapping[str, Any], indent: str) -> Iterator[str]:
    codes = part.get("reasons")
    for code in codes if isinstance(codes, list) else ():
        if not isinstance(code, str):
            continue
        text = sentence(Reason(code)) if code in _REASONS else "motif inconnu de cette version"
        yield f"{indent}motif : {text} [{code}]"


def _word(words: Mapping[str, str], value: object) -> str:
    return words.get(value, value) if isinstance(value, str) else "non précisé"


def _text(part: Mapping[str, Any], name: str) -> str:
    value = part.get(name)
    return "?" if value is None else str(value)


def _part(part: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = part.get(name)
    return value if isinstance(value, dict) else {}


def _list(part: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    value = part.get(name)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
