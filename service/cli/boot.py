"""What happens once, before the workers of the rights server are forked: the active snapshot is verified anew."""

from __future__ import annotations

import sys
from contextlib import suppress

from service.cli.progress import Meter
from service.clock import SystemClock
from service.control.state import Activation
from service.errors import OperatorError, RelaisError
from service.settings import Home, Settings
from service.snapshot.catalog import Catalog
from service.snapshot.crashes import Crashes
from service.snapshot.pepper import load_peppers
from service.snapshot.truststore import TrustStore
from service.snapshot.verify import Conditions, Ordered


def verify_active(home: Home, settings: Settings, active: Activation | None) -> bool:
    """Whether what the orders name (`active`) verifies, every byte of it hashed; true also where they name nothing.

    Workers then open it by the note this leaves. Where it is refused the server starts all the same: it is not ready,
    says why, and serves what is loaded or pinned next.
    """
    # A home that may only be read is served all the same; its workers then hash for themselves.
    with suppress(OSError):
        Crashes.clear(home.run)
    if active is None:
        return True
    try:
        _examine(home, settings, active)
    except (RelaisError, OSError) as error:
        with suppress(OSError):
            Catalog.of(home).forget_notes()
        text = str(error) if isinstance(error, OperatorError) else f"snapshot {active.sequence}: {error}"
        print(f"relais: {text}; the rights server starts, and is not ready", file=sys.stderr)
        return False
    return True


def _examine(home: Home, settings: Settings, active: Activation) -> None:
    now, catalog = SystemClock().now(), Catalog.of(home)
    conditions = Conditions(
        trust=TrustStore.of(home, demo=settings.instance.demo).load(now),
        peppers=load_peppers(home.path(settings.keys.pepper)),
        now=now,
        ordered=Ordered(active.sequence, active.digest),
        bases=catalog.path,
    )
    with Meter() as meter:
        catalog.examine(active.sequence, conditions, meter.stage(f"verify snapshot {active.sequence}"))
