"""What to say to the person at the counter: one French sentence on the cause, one on what to do. Pure."""

from __future__ import annotations

from service.rights.model import Advice, Status
from service.rights.reasons import Reason

_CHECK_IDENTITY = "vérifiez la date de naissance, le rang, le numéro de l'autre parent et la carte"

_CAUSES: dict[tuple[Status, Reason | None], str] = {
    (Status.OPEN, None): "Droits complémentaires ouverts.",
    (Status.CLOSED, None): "Les droits auprès de cet organisme sont fermés.",
    (Status.UNKNOWN, None): "Les droits n'ont pas pu être déterminés.",
    (Status.OPEN, Reason.PRESUMED_RENEWED): "Droits complémentaires présumés renouvelés.",
    (Status.OPEN, Reason.FIRST_PAYER_NOT_OPEN): (
        "Un contrat est ouvert, mais pas celui de l'organisme qui paie en premier."
    ),
    (Status.OPEN, Reason.CLOSURE_CONTRADICTED): (
        "Le service habituel dit les droits ouverts, mais l'organisme les a déclarés fermés depuis."
    ),
    (Status.CLOSED, Reason.TERMINATED): "Les droits auprès de cet organisme ont pris fin.",
    (Status.CLOSED, Reason.RIGHTS_SUSPENDED): "Les droits auprès de cet organisme sont suspendus à cette date.",
    (Status.CLOSED, Reason.NOT_STARTED): "Les droits auprès de cet organisme n'ont pas commencé à cette date.",
    (Status.CLOSED, Reason.LAPSED): "La période de droits auprès de cet organisme est échue.",
    (Status.UNKNOWN, Reason.CLOCK_SUSPECT): "Le service ne peut pas affirmer que les droits sont fermés.",
    (Status.UNKNOWN, Reason.SNAPSHOT_EXPIRED): "Les données de secours ne sont plus valables.",
    (Status.UNKNOWN, Reason.IDENTITY_NOT_SEARCHABLE): "Ce numéro ne permet pas de recherche.",
    (Status.UNKNOWN, Reason.AMC_OUT_OF_SCOPE): "Cet organisme n'est pas géré par ce service.",
    (Status.UNKNOWN, Reason.AMC_NOT_COVERED): "Les données de secours ne couvrent pas cet organisme.",
    (Status.UNKNOWN, Reason.RECORD_UNREADABLE): "Les droits n'ont pas pu être lus.",
    (Status.UNKNOWN, Reason.BENEFICIARY_UNKNOWN): f"Bénéficiaire introuvable : {_CHECK_IDENTITY}.",
    (Status.UNKNOWN, Reason.OTHER_AMC_OPEN): (
        "Bénéficiaire introuvable auprès de cet organisme, mais des droits sont ouverts auprès d'un autre : "
        f"{_CHECK_IDENTITY}."
    ),
    (Status.UNKNOWN, Reason.OTHER_COVER_POSSIBLE): (
        "Les droits connus sont fermés, mais une autre complémentaire a pu prendre le relais : "
        "demandez une carte plus récente."
    ),
    (Status.UNKNOWN, Reason.AMC_EXCLUDED): "Ce service ne répond pas pour cet organisme actuellement.",
    (Status.UNKNOWN, Reason.TOO_OLD): "Les données de cet organisme sont trop anciennes pour répondre.",
    (Status.UNKNOWN, Reason.SUSPENSION_MAY_HAVE_ENDED): "Les droits étaient suspendus, mais ont pu être rétablis.",
    (Status.UNKNOWN, Reason.HISTORY_NOT_KEPT): "Les données ne remontent pas jusqu'à la date de délivrance.",
    (Status.UNKNOWN, Reason.CLOSED_UNTRUSTED): "Les droits semblaient fermés, mais ont pu être rétablis depuis.",
    (Status.UNKNOWN, Reason.DOMAIN_NOT_LISTED): "Le contrat connu ne mentionne pas ce domaine de prestations.",
    (Status.UNKNOWN, Reason.RENEWAL_UNKNOWN): "La période connue est échue et son renouvellement n'est pas connu.",
    (Status.UNKNOWN, Reason.IDENTITY_AMBIGUOUS): f"Plusieurs personnes peuvent correspondre : {_CHECK_IDENTITY}.",
}

_ADVICE = {
    Advice.APPLY: "Appliquez le tiers payant.",
    Advice.APPLY_UNGUARANTEED: "Vous pouvez appliquer le tiers payant ; le paiement n'est pas garanti.",
    Advice.CHECK_CARD: "Fiez-vous à une carte de tiers payant en cours de validité.",
    Advice.PATIENT_PAYS: "Le patient règle la part complémentaire et en demande le remboursement à l'organisme.",
    Advice.DO_NOT_APPLY: "N'appliquez pas le tiers payant de cet organisme ; demandez s'il y en a un autre.",
}

# Every answer carries one of these: they are joined once, at import.
_TEXTS = {(*case, advice): f"{cause} {_ADVICE[advice]}" for case, cause in _CAUSES.items() for advice in Advice}


def counter_text(status: Status, main: Reason | None, advice: Advice) -> str:
    """The text for a status, its main reason and the advice given with it.

    The upstream may give a status for a reason that our table never gives it for: then the text names no cause.
    """
    return _TEXTS.get((status, main, advice)) or _TEXTS[status, None, advice]
