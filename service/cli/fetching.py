"""How commands bring a published snapshot into the home: the depot behind a URL, and the folder that came of it."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.clock import SystemClock
from service.settings import Home, Settings
from service.snapshot.catalog import Catalog
from service.snapshot.depot import Depot, is_url, open_depot, parse_address
from service.snapshot.fetch import Fetch, Patience, fetched, holds
from service.snapshot.folder import Progress
from service.snapshot.incoming import Incoming
from service.snapshot.verify import Conditions


def chance() -> float:
    """A number from 0 to 1 that nobody can foresee."""
    return random.SystemRandom().random()


def begin_fetch(place: Home, settings: Settings, depot: Depot) -> Fetch:
    """One run over a depot, into this home."""
    return Fetch(
        depot=depot,
        incoming=Incoming(place.incoming),
        catalog=Catalog.of(place),
        settings=settings.sync,
        patience=Patience(SystemClock(), chance, time.sleep),
    )


@contextmanager
def local_folder(
    place: Home, settings: Settings, source: str, conditions: Conditions, progress: Progress
) -> Iterator[tuple[Path, bool]]:
    """The folder to take for what a load names, and whether it may be moved: for a URL, what was fetched from there.

    What was activated last is not fetched again. Raises `DepotError` and `SnapshotRefused`.
    """
    if not is_url(source):
        yield Path(source), False
        return
    fetch = begin_fetch(place, settings, open_depot(parse_address(source), settings.sync))
    pointer = fetch.pointer()
    floor = conditions.floor
    if floor is not None and floor.digest == pointer.digest and holds(fetch.catalog, pointer.sequence, pointer.digest):
        yield fetch.catalog.path(pointer.sequence), True
        return
    with fetched(fetch, pointer, conditions, progress) as folder:
        yield folder, True
