"""A report as one page that needs nothing else: no script, no asset, nothing fetched. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any, Final

from service.reconcile.compare import NO_AMC, Verdict
from service.reconcile.plots import Row, legend, shares
from service.reconcile.report import Amc, Report

#: What each verdict means to a reader who has not seen docs/reconcile.md.
MEANINGS: Final[Mapping[Verdict, str]] = {
    Verdict.CONFIRMED: "open here and there, or closed here and there",
    Verdict.WRONGLY_OPEN: "we said open, the upstream says closed: money at risk, how much is not known here",
    Verdict.WRONGLY_CLOSED: "we said closed, the upstream says open: must not happen, see the list",
    Verdict.UNKNOWN_NOW_OPEN: "we did not know, the upstream says open",
    Verdict.UNKNOWN_NOW_CLOSED: "we did not know, the upstream says closed",
    Verdict.STILL_UNKNOWN: "neither knows",
    Verdict.OPEN_NOW_UNKNOWN: "we said open, the upstream does not know or no longer shows it",
    Verdict.CLOSED_NOW_UNKNOWN: "we said closed, the upstream does not know or no longer shows it",
}
_STYLE: Final = """
body{font:16px/1.5 system-ui,sans-serif;max-width:76rem;margin:2rem auto;padding:0 1rem;color:#1b1b1b;background:#fff}
table{border-collapse:collapse;margin:1rem 0;width:100%;font-size:14px}
th,td{padding:.3rem .5rem;border-bottom:1px solid #ddd}
th{text-align:left;vertical-align:bottom}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
.wide{overflow-x:auto}.legend{list-style:none;padding:0;display:flex;flex-wrap:wrap;gap:.3rem 1.2rem;font-size:14px}
.key{display:inline-block;width:.9em;height:.9em;margin-right:.4em;vertical-align:-.1em;border:1px solid #0003}
.bad{border-left:.4rem solid #a00000;padding:.2rem 1rem;background:#fdf1f1}
.good{border-left:.4rem solid #009e73;padding:.2rem 1rem}
"""
#: A page of more lines is no longer read; report.json holds them all.
_MOST_LISTED: Final = 500


def render_page(report: Report) -> str:
    """The whole page. Every text from outside is escaped."""
    body = "\n".join(_body(report))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>Reconciliation {escape(report.at)}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def _body(report: Report) -> Iterator[str]:
    yield "<h1>Reconciliation</h1>"
    yield f"<p>{escape(_period(report))} Asked again: {escape(report.upstream)}, done at {escape(report.at)}.</p>"
    yield (
        f"<p>{report.answers} stand-in answers to {report.questions} different questions were compared. "
        "Counts below are contracts: an answer that shows two counts twice.</p>"
    )
    yield _headline(report)
    yield from _reservations(report)
    yield "<h2>All AMCs</h2>"
    yield _table(("verdict", "contracts", "what it means"), _verdict_rows(report), numbers={1})
    yield (
        f"<p>Of the confirmed ones that are open, {report.other_rates} pay other rates now than we said.</p>"
        "<p>What an open answer cost an AMC is not known here: only its invoices tell.</p>"
    )
    if report.amcs:
        yield from _plots(report)
    yield from _lists(report)


def _plots(report: Report) -> Iterator[str]:
    yield "<h2>By AMC</h2>"
    yield legend()
    yield shares("Verdicts by AMC", [(_label(amc), amc.verdicts) for amc in report.amcs])
    yield _table(("AMC", "name", *Verdict, "other rates"), map(_amc_row, report.amcs), numbers=set(range(2, 11)))
    yield "<h2>By day of the answer (Europe/Paris)</h2>"
    yield shares("Verdicts by day", [(day.day, day.verdicts) for day in report.days])
    if report.ages:
        yield "<h2>By age of the extract</h2>"
        yield shares("Verdicts by age of the extract", [_age_row(age.age_days, age.verdicts) for age in report.ages])


def _period(report: Report) -> str:
    since = f"from {report.since}" if report.since else "from the journal's beginning"
    return f"Answers {since} to before {report.until}." if report.until else f"Answers {since} on."


def _headline(report: Report) -> str:
    closed = report.verdicts[Verdict.WRONGLY_CLOSED]
    if closed:
        return f'<p class="bad"><strong>{closed} wrongly closed.</strong> By design there are none: see the list.</p>'
    return '<p class="good">No right was wrongly closed.</p>'


def _reservations(report: Report) -> Iterator[str]:
    """What the report does not cover."""
    if not report.journal.whole:
        damages = "".join(f"<li>{escape(damage)}</li>" for damage in report.journal.damages)
        yield '<div class="bad"><p><strong>The journal is damaged</strong>; what still opens was read.</p>'
        yield f"<ul>{damages}</ul></div>"
    told = [
        (len(report.unanswered), "answers about which the upstream would say nothing"),
        (len(report.sealed_to_others), "segments sealed to other officers, not read"),
        (len(report.broken_off), "segments of which a part could not be read"),
        *((count, f"answers not asked again: {reason.value}") for reason, count in report.left.items()),
    ]
    lines = "".join(f"<li>{count} {text}</li>" for count, text in told if count)
    if lines:
        yield f"<p>Not in the counts:</p><ul>{lines}</ul>"


def _verdict_rows(report: Report) -> Iterator[Sequence[object]]:
    for verdict, meaning in MEANINGS.items():
        yield verdict.value, report.verdicts[verdict], meaning


def _label(amc: Amc) -> str:
    return "no AMC" if amc.amc == NO_AMC else amc.amc


def _amc_row(amc: Amc) -> Sequence[object]:
    return (_label(amc), amc.name or "", *(amc.verdicts[verdict] for verdict in Verdict), amc.other_rates)


def _age_row(age_days: int, verdicts: Mapping[Verdict, int]) -> Row:
    return f"{age_days} day{'' if age_days == 1 else 's'}", verdicts


def _lists(report: Report) -> Iterator[str]:
    for title, found in (("Wrongly closed", report.wrongly_closed), ("Wrongly open", report.wrongly_open)):
        if found:
            yield f"<h2>{title}</h2>"
            yield _places(found, "amc")
    if report.unanswered:
        yield "<h2>Without an answer of the upstream</h2>"
        yield _places(report.unanswered, "code")


def _places(found: Sequence[Mapping[str, Any]], last: str) -> str:
    names = ("at", "id", "journal", "n", last)
    table = _table(names, ([one[name] for name in names] for one in found[:_MOST_LISTED]), numbers={3})
    rest = len(found) - _MOST_LISTED
    return table if rest <= 0 else f"{table}<p>… and {rest} more in report.json.</p>"


def _table(head: Iterable[str], rows: Iterable[Sequence[object]], numbers: set[int]) -> str:
    """A table; columns in `numbers` are set as numbers."""
    heads = "".join(_cell("th", number, name.replace("_", " "), numbers) for number, name in enumerate(head))
    lines = "".join(
        f"<tr>{''.join(_cell('td', number, value, numbers) for number, value in enumerate(row))}</tr>" for row in rows
    )
    return f'<div class="wide"><table><thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table></div>'


def _cell(kind: str, number: int, value: object, numbers: set[int]) -> str:
    mark = ' class="n"' if number in numbers else ""
    return f"<{kind}{mark}>{escape(str(value))}</{kind}>"
