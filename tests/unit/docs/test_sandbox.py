from __future__ import annotations

import dataclasses
import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stubs.board import OUTCOMES
from stubs.faults import Faults
from stubs.visiodroits import _parser
from tests.unit.docs.pages import DOCS, fenced, named, rows, sections, text
from tests.upstreams import PROGRAM, Upstream, upstream

PAGE = DOCS / "sandbox.md"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sandbox")


@pytest.fixture(scope="module")
def sandbox(folder: Path) -> Iterator[Upstream]:
    """The server that the page starts, on a free port; its examples lie in `folder`."""
    (line,) = re.findall(rf"^    \.venv/bin/python -m {PROGRAM} (.*)$", text("sandbox.md"), re.MULTILINE)
    words = [str(folder / "sandbox") if word == "sandbox" else word for word in shlex.split(line)]
    with upstream(folder, *words) as made:
        yield made


def play(block: str, sandbox: Upstream, folder: Path) -> list[Any]:
    """The JSON document that each line of a block prints."""
    script = block.replace(":8090", f":{sandbox.port}")
    documents = []
    for line in script.strip().splitlines():
        done = subprocess.run(["bash", "-c", line], cwd=folder, capture_output=True, timeout=60, check=True)
        documents.append(json.loads(done.stdout))
    return documents


def test_the_page_does_what_it_shows(sandbox: Upstream, folder: Path):
    asked, broken, weather, counted = fenced(PAGE, "sh")
    answers = [one["answer"]["status"] for one in play(asked, sandbox, folder)]
    assert answers == ["open", "closed", "unknown"]

    switched, failed, mended, answered = play(broken, sandbox, folder)
    assert (switched["error_percent"], mended["error_percent"]) == (100, 0)
    assert (failed["status"], failed["code"]) == (503, "overloaded")
    assert answered["answer"]["status"] == "open"

    _, _, told, mended = play(weather, sandbox, folder)
    assert (told["latency_ms"], told["hang"], told["flap_seconds"]) == (300, True, 5)
    assert mended == Faults().members()

    (counts,) = play(counted, sandbox, folder)
    (shown,) = re.findall(r'^    (\{"asked".*\})$', text("sandbox.md"), re.MULTILINE)
    assert counts == json.loads(shown)
    assert list(counts) == ["asked", *OUTCOMES]


def test_the_page_says_how_many_contracts_there_are(sandbox: Upstream):
    (shown,) = re.findall(r"^    visiodroits ready: .*, (\d+ contracts)$", text("sandbox.md"), re.MULTILINE)
    assert sandbox.log.read_text().strip().endswith(f", {shown}")


def test_every_fault_stands_with_its_default():
    table = rows(sections("sandbox.md")["Break it"])[1:]
    documented = {row[0].strip("`"): json.loads(row[1]) for row in table}
    assert documented == Faults().members()
    assert [field.name for field in dataclasses.fields(Faults)] == list(documented)


def test_every_option_stands():
    options = {word for action in _parser()._actions for word in action.option_strings}
    documented = {word.split()[0] for word in named(sections("sandbox.md")["Start it"])}
    assert documented == options - {"-h", "--help"}
