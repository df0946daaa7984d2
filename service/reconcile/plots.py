"""Plots of a report as inline SVG: bars only, no script, no asset, every value also readable as text. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Final

from service.reconcile.compare import Verdict

#: Told apart by colour-blind readers too (after Okabe and Ito); what was wrong stands out.
COLOURS: Final[Mapping[Verdict, str]] = {
    Verdict.CONFIRMED: "#009e73",
    Verdict.WRONGLY_OPEN: "#d55e00",
    Verdict.WRONGLY_CLOSED: "#a00000",
    Verdict.UNKNOWN_NOW_OPEN: "#56b4e9",
    Verdict.UNKNOWN_NOW_CLOSED: "#0072b2",
    Verdict.STILL_UNKNOWN: "#b8b8b8",
    Verdict.OPEN_NOW_UNKNOWN: "#f0e442",
    Verdict.CLOSED_NOW_UNKNOWN: "#cc79a7",
}
_WIDTH: Final = 900
_LABEL: Final = 210
_COUNT: Final = 90
_BAR: Final = 18
_ROW: Final = 26

Row = tuple[str, Mapping[Verdict, int]]


def shares(title: str, rows: Sequence[Row]) -> str:
    """One bar a row, divided by the share of each verdict, with the row's total at its end."""
    height = _ROW * len(rows)
    bars = "".join(_bar(number * _ROW, label, counts) for number, (label, counts) in enumerate(rows))
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height}" width="100%" role="img" aria-label="{escape(title)}" '
        f'xmlns="http://www.w3.org/2000/svg" font-size="13">{bars}</svg>'
    )


def legend() -> str:
    """What each colour stands for."""
    entries = (
        f'<li><span class="key" style="background:{colour}"></span>{verdict.value}</li>'
        for verdict, colour in COLOURS.items()
    )
    return f'<ul class="legend">{"".join(entries)}</ul>'


def _bar(top: int, label: str, counts: Mapping[Verdict, int]) -> str:
    total = sum(counts.values())
    middle = top + _BAR - 4
    parts = "".join(_parts(top, counts, total))
    return (
        f'<text x="{_LABEL - 8}" y="{middle}" text-anchor="end">{escape(label)}</text>{parts}'
        f'<text x="{_WIDTH - _COUNT + 8}" y="{middle}">{total}</text>'
    )


def _parts(top: int, counts: Mapping[Verdict, int], total: int) -> Iterator[str]:
    left, room = float(_LABEL), _WIDTH - _LABEL - _COUNT
    for verdict, colour in COLOURS.items():
        count = counts.get(verdict, 0)
        if count:
            width = room * count / total
            yield (
                f'<rect x="{left:.2f}" y="{top}" width="{width:.2f}" height="{_BAR}" fill="{colour}">'
                f"<title>{verdict.value}: {count} ({100 * count / total:.1f} %)</title></rect>"
            )
            left += width
