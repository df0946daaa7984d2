from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import pytest
from cyclopts import App

from service.cli.commands import COMMANDS, overview
from service.cli.dispatch import app
from service.cli.main import _run

HEAVY = ("aiohttp", "lmdb", "cryptography", "msgspec", "orjson", "jwt", "cyclopts", "rich", "sqlite3")


def each_command(group: App, *words: str) -> list[tuple[tuple[str, ...], App]]:
    """Every command one can run, with its words."""
    found = []
    for name in group:
        if not name.startswith("-"):
            command = group[name]
            deeper = each_command(command, *words, name)
            found += deeper or [((*words, name), command)]
    return found


EACH = each_command(app)


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], []])
def test_the_overview_imports_none_of_what_commands_need(arguments: list[str]):
    code = f"import sys; from service.cli.main import _run; _run({arguments!r}); print([*sys.modules], file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == overview()
    loaded = {name.partition(".")[0] for name in eval(done.stderr)}  # noqa: S307 - our own list of names
    assert not loaded.intersection(HEAVY)


def test_the_overview_names_every_command():
    named = [line.split()[0] for line in overview().splitlines() if line.startswith("  ")]
    assert named == list(COMMANDS) == [name for name in app if not name.startswith("-")]


def test_a_line_of_the_overview_fits_a_wide_terminal():
    assert max(map(len, overview().splitlines())) <= 120


@pytest.mark.parametrize(("words", "command"), EACH, ids=[" ".join(words) for words, _ in EACH])
def test_every_command_and_each_of_its_parameters_says_what_it_is(
    words: tuple[str, ...], command: App, capsys: pytest.CaptureFixture[str]
):
    assert command.help.strip()
    assert _run([*words, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"Usage: relais {' '.join(words)}")
    for argument in command.assemble_argument_collection():
        assert argument.parameter.help, f"relais {' '.join(words)} {argument.name}"


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]):
    assert _run(["--version"]) == 0
    assert capsys.readouterr().out.strip() == version("relais-droits")


@pytest.mark.parametrize(
    ("words", "found", "help_of"),
    [
        (["nonsense"], 'Unknown command "nonsense"', "relais"),
        (["mode", "frob"], 'Unknown command "frob"', "relais mode"),
        (["mode", "set", "suspended"], "--reason requires an argument", "relais mode set"),
        (["mode", "set", "off", "--reason", "x"], 'Invalid value "off"', "relais mode set"),
        (["mode", "show", "more"], "'more'", "relais mode show"),
        (["status", "--bogus"], "Unknown option: --bogus", "relais status"),
        (["token", "mint", "--client", "a", "--key", "b", "--lifetime", "long"], '"long"', "relais token mint"),
    ],
)
def test_a_usage_error_is_one_line_that_names_the_help(
    words: list[str], found: str, help_of: str, capsys: pytest.CaptureFixture[str]
):
    assert _run(words) == 2
    out, err = capsys.readouterr()
    assert not out
    assert err.count("\n") == 1
    assert err.startswith("relais: ")
    assert found in err
    assert err.endswith(f": {help_of} --help\n")
