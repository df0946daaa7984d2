"""How a verified snapshot becomes the active one (`service/admission.py`), for commands: now, by whoever types."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from pathlib import Path

from service import admission
from service.cli.common import actor
from service.cli.ordering import open_ledger
from service.clock import SystemClock
from service.control.format import check_reason
from service.control.intent import Intent
from service.control.state import State
from service.errors import InvalidField, OperatorError
from service.settings import Home, Settings
from service.snapshot.catalog import Catalog
from service.snapshot.floor import FLOOR_FILE, raise_floor
from service.snapshot.guard import Floor
from service.snapshot.verify import Conditions, Examination


def current_state(place: Home, settings: Settings) -> State:
    """What the orders of a home say now."""
    with open_ledger(place, settings) as ledger:
        return ledger.state


def conditions(
    place: Home, settings: Settings, state: State, accept: str | None = None, at_least: int = 1
) -> Conditions:
    """What a candidate is held against now. Raises `TrustError` where trust file, pepper or floor do not hold."""
    return admission.conditions(place, settings, state, SystemClock().now(), accept, at_least)


def check_accept(reason: str | None) -> None:
    """Raises `OperatorError` for a reason that may not stand in an order, before a snapshot is looked at."""
    if reason is None:
        return
    try:
        check_reason(reason)
    except InvalidField as error:
        raise OperatorError(f"--accept: {error.detail}") from error


def noted(
    catalog: Catalog, beside: Path | None, examination: Examination | None = None
) -> AbstractContextManager[None]:
    """Whatever fails in the body of a load is in its verdict too."""
    return admission.noted(catalog, beside, SystemClock(), examination)


def activation_order(examination: Examination) -> Intent:
    """The order that makes a verified snapshot the active one; it lists the findings that its reason accepts."""
    return admission.activation_intent(examination, actor())


def remember_floor(place: Home, floor: Floor | None) -> None:
    """Raise the floor beside the node. The control store has it too: a disk that fails here undoes no order."""
    if floor is None:
        return
    try:
        raise_floor(place.node / FLOOR_FILE, floor)
    except OSError as error:
        text = f"{FLOOR_FILE} cannot be written ({error.strerror}): until it can, only the orders hold the floor"
        print(f"relais: warning: {text}", file=sys.stderr)
