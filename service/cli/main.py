"""Entry point of `relais`. The overview costs no import; everything else is dispatch's."""

from __future__ import annotations

import sys

from service.cli.commands import overview
from service.cli.exits import Exit


def run() -> None:
    """Entry point of `relais` and `python -m service`."""
    sys.exit(_run(sys.argv[1:]))


def _run(arguments: list[str]) -> int:
    if arguments in ([], ["--help"], ["-h"]):
        print(overview())
        return Exit.DONE
    # Here, because the library of the command line alone takes a quarter of a second to import.
    from service.cli.dispatch import dispatch  # noqa: PLC0415

    return dispatch(arguments)
