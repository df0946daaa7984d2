"""What every command shares: the home, output for people and machines."""

from __future__ import annotations

import getpass
import os
from pathlib import Path
from typing import Annotated, Any

import orjson
from cyclopts import Parameter

from service.settings import Home, Settings, load_settings

HomeOption = Annotated[Path, Parameter(name="--home", env_var="RELAIS_HOME", help="The installation's directory.")]
JsonOption = Annotated[
    bool, Parameter(name="--json", negative="", show_default=False, help="Print one JSON document for machines.")
]
DEFAULT_HOME = Path(".relais")


def open_home(path: Path) -> tuple[Home, Settings]:
    """A home and its settings. Raises `SettingsError`."""
    home = Home(path.absolute())
    return home, load_settings(home, os.environ)


def actor() -> str:
    """Who gives an order from the command line."""
    return f"cli:{getpass.getuser()}"


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    print(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())
