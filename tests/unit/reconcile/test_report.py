"""The document and the page: what they count, and that neither can carry anything but text."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import msgspec
import pytest

from service.journal.damage import Evidence
from service.journal.selection import Reading, Selection
from service.reconcile.compare import NO_AMC, Outcome, Said, Verdict
from service.reconcile.journals import Journals, Left
from service.reconcile.page import MEANINGS, render_page
from service.reconcile.plots import COLOURS, shares
from service.reconcile.recorded import Place, Recorded
from service.reconcile.report import Report, make_report
from service.reconcile.survey import Survey
from service.reconcile.tally import Tally
from service.rights.model import Status
from tests.unit.journal.journal_node import officer
from tests.unit.reconcile.recording import FIRST, SECOND, query

HOSTILE = "<script>alert(1)</script>\"'&"


def recorded(n: int, day: str = "2024-02-05", age_days: int | None = 1, name: str = "Mutuelle") -> Recorded:
    place = Place("018d7892-0000-7000-8000-000000000000", n, f"id-{n}", f"{day}T09:30:12.123Z")
    return Recorded(place, query(n), b"", Said(Status.OPEN, ()), day, age_days, {FIRST: name})


def tally(name: str = "Mutuelle") -> Tally:
    made = Tally()
    made.add(
        recorded(2, name=name),
        (Outcome(FIRST, Verdict.WRONGLY_OPEN), Outcome(SECOND, Verdict.CONFIRMED, other_rates=True)),
    )
    made.add(recorded(1, name=name), (Outcome(FIRST, Verdict.WRONGLY_OPEN),))
    made.add(recorded(3, "2024-02-04", None, name), (Outcome(NO_AMC, Verdict.STILL_UNKNOWN),))
    made.add(recorded(4, "2024-02-04", 0, name), (Outcome(FIRST, Verdict.WRONGLY_CLOSED),))
    made.miss(recorded(9), "upstream_malformed")
    return made


def report(found: Tally | None = None, evidence: Evidence | None = None) -> Report:
    reading = Reading(Path("nowhere"), Selection(), officer())
    reading.to_others.append("another")
    journals = Journals(reading)
    journals.left[Left.FROM_UPSTREAM] = 7
    return make_report(
        tally() if found is None else found,
        Survey(5, 4, frozenset(), journals),
        evidence or Evidence(whole=True),
        at="2024-02-06T10:00:00.000Z",
        since="",
        until="2024-02-06T09:00:00.000Z",
        upstream="https://visiodroits.example",
    )


def test_the_document_counts_by_amc_day_and_age():
    document: dict[str, Any] = msgspec.to_builtins(report())
    none = dict.fromkeys(Verdict, 0)
    assert document["answers"] == 4
    assert document["questions"] == 4
    wrong = {"wrongly_open": 2, "wrongly_closed": 1}
    assert document["verdicts"] == {**none, **wrong, "confirmed": 1, "still_unknown": 1}
    assert document["other_rates"] == 1
    assert document["amcs"] == [
        {"amc": FIRST, "name": "Mutuelle", "verdicts": {**none, **wrong}, "other_rates": 0},
        {"amc": SECOND, "name": None, "verdicts": {**none, "confirmed": 1}, "other_rates": 1},
        {"amc": "none", "name": None, "verdicts": {**none, "still_unknown": 1}, "other_rates": 0},
    ]
    assert [(one["day"], sum(one["verdicts"].values())) for one in document["days"]] == [
        ("2024-02-04", 2),
        ("2024-02-05", 3),
    ]
    assert [(one["age_days"], sum(one["verdicts"].values())) for one in document["ages"]] == [(0, 1), (1, 3)]
    assert document["left"] == {"from_upstream": 7, "fictitious_nir": 0}
    assert (document["since"], document["until"]) == (None, "2024-02-06T09:00:00.000Z")


def test_wrong_answers_are_listed_by_place_in_the_journals_order():
    document: dict[str, Any] = msgspec.to_builtins(report())
    assert [one["n"] for one in document["wrongly_open"]] == [1, 2]
    assert document["wrongly_closed"] == [
        {
            "journal": "018d7892-0000-7000-8000-000000000000",
            "n": 4,
            "id": "id-4",
            "at": "2024-02-04T09:30:12.123Z",
            "amc": FIRST,
        }
    ]
    assert [(one["n"], one["code"]) for one in document["unanswered"]] == [(9, "upstream_malformed")]


def test_the_page_says_first_whether_a_right_was_wrongly_closed():
    assert "<strong>1 wrongly closed.</strong>" in render_page(report())
    good = render_page(report(Tally()))
    assert "No right was wrongly closed." in good
    assert "<h2>Wrongly" not in good
    assert "<svg" not in good


def test_a_damaged_journal_is_said_on_the_page():
    page = render_page(report(evidence=Evidence(whole=False, damages=("gap: segment x, entry 3",))))
    assert "The journal is damaged" in page
    assert "gap: segment x, entry 3" in page


def test_every_verdict_has_a_meaning_and_a_colour_of_its_own():
    assert set(MEANINGS) == set(COLOURS) == set(Verdict)
    assert len(set(COLOURS.values())) == len(Verdict)
    page = render_page(report())
    assert all(meaning in page for meaning in MEANINGS.values())


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in ("meta", "rect"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag != "rect":
            assert self.open.pop() == tag


def test_the_page_fetches_nothing_and_runs_nothing():
    parser = Tags()
    parser.feed(render_page(report(tally(HOSTILE))))
    assert parser.open == []
    assert not {tag for tag, _ in parser.seen} & {"script", "link", "img", "iframe", "object", "form", "a", "base"}
    for _, attributes in parser.seen:
        assert not {name for name in attributes if name.startswith("on") or name in ("href", "src", "action")}
    policy = next(attributes for tag, attributes in parser.seen if "http-equiv" in attributes)
    assert policy["content"] == "default-src 'none'; style-src 'unsafe-inline'"


def test_a_name_from_outside_is_text():
    page = render_page(report(tally(HOSTILE)))
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#x27;&amp;" in page


def test_bars_divide_their_row_by_the_shares():
    svg = shares("title", [("one", {Verdict.CONFIRMED: 3, Verdict.WRONGLY_OPEN: 1}), (HOSTILE, {})])
    root = ET.fromstring(svg)  # noqa: S314 - made here
    bars = [element for element in root if element.tag.endswith("rect")]
    widths = [float(bar.attrib["width"]) for bar in bars]
    assert widths[0] == pytest.approx(3 * widths[1])
    assert float(bars[1].attrib["x"]) == pytest.approx(float(bars[0].attrib["x"]) + widths[0])
    assert [bar[0].text for bar in bars] == ["confirmed: 3 (75.0 %)", "wrongly_open: 1 (25.0 %)"]


def test_a_long_list_is_cut_on_the_page_and_whole_in_the_document():
    many = Tally()
    for n in range(502):
        many.add(recorded(n), (Outcome(FIRST, Verdict.WRONGLY_OPEN),))
    made = report(many)
    assert len(made.wrongly_open) == 502
    page = render_page(made)
    assert "… and 2 more in report.json." in page
    assert len(re.findall(r"<td>id-\d+</td>", page)) == 500
