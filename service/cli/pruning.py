"""Which snapshots of a home stay: the rule of life, asked with what the orders say at that moment."""

from __future__ import annotations

import sys

from service.admission import standing_of
from service.cli.ordering import open_ledger
from service.errors import OperatorError
from service.settings import Home, Settings
from service.snapshot.catalog import Catalog
from service.snapshot.life import Standing


def current_standing(place: Home, settings: Settings) -> Standing:
    """What the orders of a home say now."""
    with open_ledger(place, settings) as ledger:
        return standing_of(ledger.state)


def prune_superseded(place: Home, settings: Settings) -> tuple[int, ...]:
    """After an activation, remove what no longer stays; the sequences removed.

    The activation stands whatever becomes of this: what cannot be removed now is left to the next load, and said.
    """
    try:
        return Catalog.of(place).prune(lambda: current_standing(place, settings), settings.snapshot.keep)
    except (OperatorError, OSError) as error:
        print(f"relais: warning: superseded snapshots are left to the next load: {error}", file=sys.stderr)
        return ()
