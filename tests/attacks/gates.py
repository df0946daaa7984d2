"""A process that stops at a chosen call until it is let through: for what happens when two do something at once."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.fleet import wait_until

#: Where a layer is opened: within a load while it holds the lock, and in a worker that follows an order.
OPENING: Final = "service.snapshot.records:Layer.__init__"
#: Where a load that has verified its snapshot is about to give the order.
ORDERING: Final = "service.control.ledger:Ledger.issue"
#: Where a load that has given its order tidies up.
TIDYING: Final = "service.snapshot.catalog:Catalog.prune"


class Gate:
    """Shut from the start; processes begun with its `environment` wait at `place`."""

    def __init__(self, folder: Path, place: str) -> None:
        self._file = folder / f"{place.rpartition('.')[2]}.gate"
        self.environment = {
            "PYTHONPATH": str(Path(__file__).with_name("gate")),
            "GATE_FILE": str(self._file),
            "GATE_AT": place,
        }

    def shut(self) -> None:
        """Whoever comes from now on waits."""
        self._file.with_suffix(".reached").unlink(missing_ok=True)
        self._file.touch()

    def await_somebody(self) -> None:
        """Until a process waits here."""
        wait_until(self._file.with_suffix(".reached").exists, 60, lambda: "nobody came to the gate")

    def open(self) -> None:
        """Let everybody through."""
        self._file.unlink(missing_ok=True)
