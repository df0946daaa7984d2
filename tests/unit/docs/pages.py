"""The documentation as tests read it: pages, their tables, their blocks, the commands they show."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[3]
DOCS: Final = ROOT / "docs"
#: Everything people read.
PAGES: Final = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "k8s" / "README.md", *DOCS.rglob("*.md")])

_FENCE: Final = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE: Final = re.compile(r"`((?:\.venv/bin/)?relais [a-z][^`]*)`")
#: A line that somebody types, in a block; other lines of a block are what the command prints.
_TYPED: Final = re.compile(r"(\$ |\w+=\$\(|kubectl |curl |sed )?(.*\| |.* -- )?(\.venv/bin/)?relais [a-z]")


class Shown(NamedTuple):
    """A `relais` command on a page: its words, and whether it is whole (in a block) or only named (in a sentence)."""

    page: str
    words: tuple[str, ...]
    whole: bool


def name(page: Path) -> str:
    """A page's name in test ids and failures."""
    return str(page.relative_to(ROOT))


def text(page: str) -> str:
    """A page of docs/."""
    return (DOCS / page).read_text("utf-8")


def fenced(page: Path, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return [body for kind, body in _FENCE.findall(page.read_text("utf-8")) if kind == language]


def sections(page: str) -> dict[str, str]:
    """The `##` sections of a page by their titles, without backticks."""
    parts = re.split(r"^## ", text(page), flags=re.MULTILINE)[1:]
    return {part.partition("\n")[0].replace("`", ""): part.partition("\n")[2] for part in parts}


def rows(content: str) -> list[list[str]]:
    """The cells of every table row."""
    lines = [line for line in content.splitlines() if line.startswith("|") and not re.fullmatch(r"[|\s:-]+", line)]
    return [[cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def named(content: str) -> list[str]:
    """What stands in backticks in the first cell of every table row."""
    return [word for row in rows(content) for word in re.findall(r"`([^`]+)`", row[0])]


def commands() -> Iterator[Shown]:
    """Every `relais` command that a page shows."""
    for page in PAGES:
        content = page.read_text("utf-8")
        prose = _FENCE.sub("", content)
        for line in _typed_lines(content):
            for words in _words(line):
                yield Shown(name(page), words, whole=True)
        prose = "\n".join(line for line in prose.splitlines() if not line.startswith("    "))
        for inline in _INLINE.findall(prose.replace("\n", " ")):
            for words in _words(inline):
                yield Shown(name(page), words, whole=False)


def _typed_lines(content: str) -> Iterator[str]:
    blocks = [body for kind, body in _FENCE.findall(content) if kind == "sh"]
    indented = [line[4:] for line in _FENCE.sub("", content).splitlines() if re.match(r"    \S|        --", line)]
    for block in [*blocks, "\n".join(indented)]:
        for line in re.sub(r"\\\n\s*", " ", block).splitlines():
            if _TYPED.match(line):
                yield line


def _words(line: str) -> Iterator[tuple[str, ...]]:
    """The words after each `relais` of a shell line, up to whatever ends that command."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|;()<>")
    lexer.whitespace_split = True
    lexer.commenters = ""
    words: list[str] | None = None
    for word in [*lexer, ";"]:
        if set(word) <= set("|;()<>"):
            if words:
                yield tuple(words)
            words = None
        elif words is not None:
            words.append(word)
        elif word in ("relais", ".venv/bin/relais"):
            words = []
