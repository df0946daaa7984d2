"""Why an answer says what it says: a closed list, each with a French sentence. Pure.

The order here is the order of reasons in an answer: mode and source, then the whole answer, then its contracts.
docs/degraded_modes.md explains each.
"""

from __future__ import annotations

from collections.abc import Collection

from service.rights.model import Word


class Reason(Word):
    """A cause that an answer or one of its contracts names."""

    # Mode and source
    UPSTREAM_DISABLED = "upstream_disabled"
    UPSTREAM_UNAVAILABLE = "upstream_unavailable"
    UPSTREAM_ANSWER_KEPT = "upstream_answer_kept"
    SNAPSHOT_PINNED = "snapshot_pinned"
    CLOCK_SUSPECT = "clock_suspect"
    # The whole answer
    SNAPSHOT_EXPIRED = "snapshot_expired"
    IDENTITY_NOT_SEARCHABLE = "identity_not_searchable"
    AMC_OUT_OF_SCOPE = "amc_out_of_scope"
    AMC_NOT_COVERED = "amc_not_covered"
    RECORD_UNREADABLE = "record_unreadable"
    BENEFICIARY_UNKNOWN = "beneficiary_unknown"
    OTHER_AMC_OPEN = "other_amc_open"
    OTHER_COVER_POSSIBLE = "other_cover_possible"
    FIRST_PAYER_NOT_OPEN = "first_payer_not_open"
    # One contract
    CLOSURE_CONTRADICTED = "closure_contradicted"
    AMC_EXCLUDED = "amc_excluded"
    TOO_OLD = "too_old"
    TERMINATED = "terminated"
    SUSPENSION_MAY_HAVE_ENDED = "suspension_may_have_ended"
    RIGHTS_SUSPENDED = "rights_suspended"
    NOT_STARTED = "not_started"
    HISTORY_NOT_KEPT = "history_not_kept"
    CLOSED_UNTRUSTED = "closed_untrusted"
    DOMAIN_NOT_LISTED = "domain_not_listed"
    LAPSED = "lapsed"
    PRESUMED_RENEWED = "presumed_renewed"
    RENEWAL_UNKNOWN = "renewal_unknown"
    IDENTITY_AMBIGUOUS = "identity_ambiguous"
    BENEFIT_NOT_LISTED = "benefit_not_listed"


_SENTENCES = {
    Reason.UPSTREAM_DISABLED: "Le service habituel est coupé sur décision : la réponse vient de l'instantané.",
    Reason.UPSTREAM_UNAVAILABLE: "Le service habituel ne répond pas : la réponse vient de l'instantané.",
    Reason.UPSTREAM_ANSWER_KEPT: "La réponse est celle que le service habituel a donnée il y a un instant.",
    Reason.SNAPSHOT_PINNED: "Un instantané antérieur a été remis en service sur décision.",
    Reason.CLOCK_SUSPECT: "L'horloge du serveur est douteuse : aucun droit n'est déclaré fermé.",
    Reason.SNAPSHOT_EXPIRED: "L'instantané a dépassé sa date de validité.",
    Reason.IDENTITY_NOT_SEARCHABLE: "Ce numéro ne permet pas de recherche.",
    Reason.AMC_OUT_OF_SCOPE: "Cet organisme ne relève pas de cet opérateur.",
    Reason.AMC_NOT_COVERED: "L'instantané ne couvre pas cet organisme.",
    Reason.RECORD_UNREADABLE: "L'enregistrement du bénéficiaire est illisible.",
    Reason.BENEFICIARY_UNKNOWN: "Le bénéficiaire est introuvable avec cette identité.",
    Reason.OTHER_AMC_OPEN: "Des droits sont ouverts auprès d'un autre organisme que celui demandé.",
    Reason.OTHER_COVER_POSSIBLE: "Les droits connus sont fermés, mais un autre organisme a pu prendre le relais.",
    Reason.FIRST_PAYER_NOT_OPEN: "Le contrat de l'organisme qui paie en premier n'est pas ouvert.",
    Reason.CLOSURE_CONTRADICTED: (
        "Le service habituel dit ces droits ouverts ; des données plus récentes de l'organisme les disent fermés."
    ),
    Reason.AMC_EXCLUDED: "Cet organisme est exclu des réponses, par ses propres règles ou sur décision.",
    Reason.TOO_OLD: "Les données de cet organisme sont trop anciennes.",
    Reason.TERMINATED: "Les droits ont pris fin.",
    Reason.SUSPENSION_MAY_HAVE_ENDED: "Les droits étaient suspendus, mais la suspension a pu être levée depuis.",
    Reason.RIGHTS_SUSPENDED: "Les droits sont suspendus à cette date.",
    Reason.NOT_STARTED: "Les droits n'ont pas commencé à cette date.",
    Reason.HISTORY_NOT_KEPT: "Les données ne remontent pas jusqu'à cette date.",
    Reason.CLOSED_UNTRUSTED: "La fermeture connue est trop ancienne pour être affirmée.",
    Reason.DOMAIN_NOT_LISTED: "Le domaine demandé ne figure pas au contrat.",
    Reason.LAPSED: "La période de droits est échue depuis longtemps.",
    Reason.PRESUMED_RENEWED: "La période est échue depuis peu : les droits sont présumés renouvelés.",
    Reason.RENEWAL_UNKNOWN: "La période est échue et le renouvellement n'est pas connu.",
    Reason.IDENTITY_AMBIGUOUS: "Plusieurs bénéficiaires peuvent répondre à cette identité.",
    Reason.BENEFIT_NOT_LISTED: "Une prestation demandée ne figure pas au contrat.",
}
_ORDER = {reason: position for position, reason in enumerate(Reason)}


def sentence(reason: Reason) -> str:
    """The French sentence of a reason."""
    return _SENTENCES[reason]


def in_order(reasons: Collection[Reason]) -> tuple[Reason, ...]:
    """Each reason once, in the order of the list above."""
    if len(reasons) < 2:  # as in most answers
        return tuple(reasons)
    return tuple(sorted(set(reasons), key=_ORDER.__getitem__))
