from __future__ import annotations

import re
from pathlib import Path

import pytest
from cyclopts import App

from service.cli.dispatch import app
from tests.unit.docs import pages
from tests.unit.docs.pages import ROOT, Shown, name

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
COMMANDS = list(pages.commands())


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as they are made where Markdown is read."""
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", pages.PAGES, ids=name)
def test_every_link_leads_somewhere(page: Path):
    for link in _LINK.findall(page.read_text("utf-8")):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert target.is_relative_to(ROOT), link
        assert not anchor or anchor in anchors(target), link


def test_the_pages_show_commands():
    assert len([shown for shown in COMMANDS if shown.whole]) > 30


@pytest.mark.parametrize("shown", COMMANDS, ids=lambda shown: f"{shown.page}: relais {' '.join(shown.words)}")
def test_every_command_shown_is_one(shown: Shown):
    group: App = app
    words = list(shown.words)
    while words and words[0] in group and not words[0].startswith("-"):
        group = group[words.pop(0)]
    assert group is not app
    if shown.whole or words:
        app.parse_args(shown.words, exit_on_error=False, print_error=False)
