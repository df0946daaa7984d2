"""What every command shares: the home, output for people and machines."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import Annotated, Any, Final

import orjson
from cyclopts import Parameter

from service.settings import Home, Settings, load_settings

HomeOption = Annotated[Path, Parameter(name="--home", env_var="RELAIS_HOME", help="The installation's directory.")]
JsonOption = Annotated[
    bool, Parameter(name="--json", negative="", show_default=False, help="Print one JSON document for machines.")
]
ReasonOption = Annotated[str, Parameter(help="Why; kept for ever, so no personal data.")]
DEFAULT_HOME = Path(".relais")
#: The uid of whoever logged in, kept by the kernel through sudo and su (proc(5)).
_LOGIN_UID: Final = Path("/proc/self/loginuid")
_NOBODY_LOGGED_IN: Final = 2**32 - 1


def open_home(path: Path) -> tuple[Home, Settings]:
    """A home and its settings. Raises `SettingsError`."""
    home = Home(path.absolute())
    return home, load_settings(home, os.environ)


def actor() -> str:
    """Who gives an order from the command line: `cli:` and the system user who logged in, else the process's.

    Not what LOGNAME or USER say: of two people, each must stay who they are, also where both become the servers' user
    by sudo.
    """
    try:
        uid = int(_LOGIN_UID.read_text("ascii"))
    except (OSError, ValueError):
        uid = _NOBODY_LOGGED_IN
    if uid == _NOBODY_LOGGED_IN:
        uid = os.getuid()
    try:
        return f"cli:{pwd.getpwuid(uid).pw_name}"
    except KeyError:  # a container's user needs no name
        return f"cli:uid-{uid}"


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    print(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())
