"""A breach report as a French page, ready to attach to a notification under GDPR art. 33. Pure.

It needs nothing else: no script, no asset. It states counts and dates; what only people know (causes, likely
consequences, measures) is left to them, as lines to fill in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from html import escape
from typing import Final

from service.journal.disclosure import Category
from service.journal.summary import Report, Summary

#: Each category in the words of a notification.
CATEGORIES: Final[Mapping[Category, str]] = {
    Category.IDENTITY: "confirmation de l'identité soumise (NIR, ou organisme et adhérent ; date de naissance ; rang)",
    Category.STATUS: "état des droits (ouverts, fermés ou inconnus)",
    Category.INSURER: "organisme complémentaire (numéro et nom)",
    Category.CLOSURE: "date de fermeture des droits",
    Category.MEMBER: "numéro d'adhérent",
    Category.ROUTING: "type de convention et critère de routage (CSR)",
    Category.VALIDITY: "dates de validité du contrat",
    Category.COVER: "nature et niveau de la couverture (domaines, taux, contrat responsable, rang du payeur)",
}
_STATUSES: Final = {"open": "droits ouverts", "closed": "droits fermés", "unknown": "droits inconnus"}
_MODES: Final = {"live": "service habituel", "degraded": "mode dégradé (instantané)", "suspended": "suspendu"}
#: A page of more lines is no longer read; the JSON document holds them all.
_MOST_LISTED: Final = 200
_STYLE: Final = """
body{font:16px/1.5 system-ui,sans-serif;max-width:56rem;margin:2rem auto;padding:0 1rem;color:#1b1b1b;background:#fff}
table{border-collapse:collapse;margin:1rem 0;width:100%}th,td{padding:.3rem .5rem;border-bottom:1px solid #ddd}
th{text-align:left}td.n{text-align:right;font-variant-numeric:tabular-nums}
.bad{border-left:.4rem solid #a00000;padding:.2rem 1rem;background:#fdf1f1}.fill{color:#555;font-style:italic}
"""


def render_page(report: Report) -> str:
    """The whole page. Every text from outside is escaped."""
    body = "\n".join(_body(report))
    return (
        '<!doctype html>\n<html lang="fr">\n<head>\n<meta charset="utf-8">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>Violation de données : consultations {escape(report.at)}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def _body(report: Report) -> Iterator[str]:
    total = report.total
    yield "<h1>Violation de données : consultations à notifier</h1>"
    yield "<p>Annexe à une notification au titre de l'article 33 du RGPD, établie à partir du journal signé.</p>"
    yield _reservations(report)
    yield "<h2>Qui a consulté, quand</h2>"
    yield _table(_circumstances(report))
    yield "<h2>Personnes concernées</h2>"
    yield _counting(report)
    yield _table(
        [
            ("Personnes sur lesquelles une question a été posée", _number(total.people.asked)),
            ("dont une donnée au moins a été communiquée", _number(total.people.disclosed)),
            ("dont les données d'un contrat ont été communiquées", _number(total.people.contract)),
        ]
    )
    yield "<h2>Catégories de données communiquées</h2>"
    yield _table((text, _number(total.people.categories[category])) for category, text in CATEGORIES.items())
    yield (
        "<p>Une réponse ne contient ni nom, ni adresse, ni coordonnées bancaires, ni donnée de soins. "
        "Le NIR et la date de naissance ne sont pas communiqués : l'auteur de la question les connaissait.</p>"
    )
    yield "<h2>Enregistrements</h2>"
    yield _table(_records(total))
    if len(report.clients) > 1:
        yield "<h2>Par compte</h2>"
        yield _table(_by_client(report.clients))
    yield from _to_fill_in()


def _reservations(report: Report) -> str:
    told = []
    if not report.journal.whole:
        told.append(
            f"Le journal est endommagé ({len(report.journal.damages)} constats) : ce qui se lit encore a été lu."
        )
    if report.broken_off:
        told.append(
            f"{len(report.broken_off)} segments n'ont pas pu être lus en entier : les nombres sont des minimums."
        )
    if report.pruned:
        told.append(f"{len(report.pruned)} segments de la période ont été purgés : ils ne sont pas comptés.")
    return "".join(f'<p class="bad"><strong>{escape(text)}</strong></p>' for text in told)


def _circumstances(report: Report) -> Iterator[tuple[str, str]]:
    total = report.total
    yield "Comptes", ", ".join(one.client or "" for one in report.clients[:_MOST_LISTED]) or "aucun"
    yield "Pharmacies (FINESS)", ", ".join(list(total.finess)[:_MOST_LISTED]) or "aucune"
    yield "Période examinée", f"{report.since or 'début du journal'} à {report.until or report.at}"
    yield "Première consultation", total.first or "aucune"
    yield "Dernière consultation", total.last or "aucune"
    yield "Instantanés sous-jacents", ", ".join(_counted(total.snapshots, {"none": "aucun"})) or "aucun"
    yield "Mode du service", ", ".join(_counted(total.modes, _MODES)) or "aucun"


def _counting(report: Report) -> str:
    if report.exact:
        return "<p>Comptes exacts d'identités distinctes, obtenus avec la clé du responsable de la sécurité.</p>"
    return (
        "<p><strong>Majorants</strong> : sans la clé du responsable de la sécurité, une même personne est comptée "
        "une fois par segment du journal, et les catégories sont les plus larges possibles.</p>"
    )


def _records(total: Summary) -> Iterator[tuple[str, str]]:
    yield "Réponses", _number(total.answers)
    for status, text in _STATUSES.items():
        yield f"dont {text}", _number(total.statuses.get(status, 0))
    yield "dont NIR fictifs (ni recherchés ni conservés)", _number(total.fictitious)


def _by_client(clients: tuple[Summary, ...]) -> Iterator[tuple[str, str]]:
    for one in clients[:_MOST_LISTED]:
        yield one.client or "", f"{_number(one.people.asked)} personnes, {_number(one.answers)} réponses"
    if len(clients) > _MOST_LISTED:
        yield f"… et {len(clients) - _MOST_LISTED} autres", "voir le document JSON"


def _to_fill_in() -> Iterator[str]:
    yield "<h2>À compléter</h2>"
    for line in (
        "Nature et cause de la violation",
        "Date à laquelle le responsable de traitement en a eu connaissance (72 heures)",
        "Conséquences probables pour les personnes",
        "Mesures prises et envisagées ; suspension du compte (ordre n°)",
        "Information des personnes (article 34) : par chaque organisme complémentaire",
        "Délégué à la protection des données",
    ):
        yield f'<p>{line} : <span class="fill">…</span></p>'


def _counted(counts: Mapping[str, int], names: Mapping[str, str]) -> list[str]:
    return [f"{names.get(name, name)} ({_number(count)})" for name, count in list(counts.items())[:_MOST_LISTED]]


def _number(value: int) -> str:
    """With narrow no-break spaces between thousands, as French writes numbers."""
    return f"{value:,}".replace(",", "\u202f")


def _table(rows: Iterable[tuple[str, str]]) -> str:
    lines = "".join(f'<tr><th>{escape(name)}</th><td class="n">{escape(value)}</td></tr>' for name, value in rows)
    return f"<table><tbody>{lines}</tbody></table>"
