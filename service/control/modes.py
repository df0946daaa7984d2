"""Rules of the mode switch, shared by the command line and the admin server. Pure."""

from __future__ import annotations

from service.control.format import EVERYWHERE, ModeName
from service.control.state import View
from service.errors import OperatorError


def check_mode(mode: ModeName, *, upstream_configured: bool) -> None:
    """Raises `OperatorError` for `live` where there is nothing to be live with."""
    if mode == "live" and not upstream_configured:
        raise OperatorError("no upstream is configured: there is nothing to ask in mode live")


def differing_scopes(view: View, mode: ModeName) -> list[str]:
    """AMC numbers whose own mode still differs once `mode` is set everywhere."""
    return sorted(scope for scope, own in view.modes.items() if scope != EVERYWHERE and own.mode != mode)
