"""From arguments to a command, imported only when it is used, and the one place where errors become exit statuses."""

from __future__ import annotations

import os
import sys
from importlib.metadata import version
from inspect import cleandoc

from cyclopts import App, CycloptsError

from service.cli.commands import COMMANDS, PURPOSE
from service.cli.exits import Exit
from service.errors import DepotUnavailable, RelaisError, StoreUnavailable, UpstreamUnavailable

app = App(
    name="relais",
    help=PURPOSE,
    version=lambda: version("relais-droits"),
    suppress_keyboard_interrupt=False,  # it is told below, as every other end is
)
for _name, _help in COMMANDS.items():
    app.command(f"service.cli.{_name}:app", name=_name, help=cleandoc(_help))


def dispatch(arguments: list[str]) -> int:
    """Run a command; its exit status."""
    try:
        result = app(arguments, exit_on_error=False, print_error=False, verbose=False, result_action="return_value")
    except CycloptsError as error:
        words = " ".join(["relais", *(error.command_chain or ()), "--help"])
        return _fail(Exit.USAGE, f"{' '.join(str(error).split()).rstrip('.')}: {words}")
    except (StoreUnavailable, DepotUnavailable, UpstreamUnavailable) as error:
        return _fail(Exit.UNAVAILABLE, str(error))
    except RelaisError as error:
        return _fail(Exit.REFUSED, str(error))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.REFUSED
    except OSError as error:
        return _fail(Exit.REFUSED, f"{error.strerror or error}: {error.filename}" if error.filename else str(error))
    except KeyboardInterrupt:
        return _fail(Exit.REFUSED, "interrupted")
    return result if isinstance(result, int) else Exit.DONE


def _fail(status: Exit, text: str) -> int:
    print(f"relais: {text}", file=sys.stderr)
    return status
