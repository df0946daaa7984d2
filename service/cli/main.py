"""The `relais` command: its groups, loaded only when used, and one place where errors become exit statuses."""

from __future__ import annotations

import os
import sys

from cyclopts import App, CycloptsError

from service.cli.common import Exit
from service.errors import RelaisError, StoreUnavailable

app = App(name="relais", help="Answer beneficiary-rights queries from a signed snapshot while Visiodroits is off.")
for _name in (
    "serve",
    "init",
    "run",
    "keys",
    "trust",
    "snapshot",
    "mode",
    "client",
    "orders",
    "token",
    "journal",
    "receipt",
    "status",
):
    app.command(f"service.cli.{_name}:app", name=_name)


def run() -> None:
    """Entry point of `relais` and `python -m service`."""
    sys.exit(_run(sys.argv[1:]))


def _run(arguments: list[str]) -> int:
    try:
        result = app(arguments, exit_on_error=False, print_error=True, result_action="return_value")
    except CycloptsError:
        return Exit.USAGE
    except StoreUnavailable as error:
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
