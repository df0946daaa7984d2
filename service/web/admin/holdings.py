"""The snapshots of a home as the admin server judges them: the same steps as the commands', off the event loop.

Everything here blocks, on reading data for minutes: call it from a thread. Shared rules: `service/admission.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

import msgspec
import structlog

from service.admission import conditions, floor_left, noted, pinnable, standing_of, still_held
from service.aside import aside
from service.clock import Clock
from service.control.format import Order
from service.control.intent import Intent
from service.control.ledger import Ledger
from service.control.proposals import Proposal
from service.control.state import State
from service.errors import NotFound, RelaisError
from service.settings import Home, Settings
from service.snapshot.catalog import LAST_LOAD, Catalog, Held
from service.snapshot.floor import FLOOR_FILE, raise_floor
from service.snapshot.folder import Progress
from service.snapshot.guard import Floor
from service.snapshot.verdict import Verdict, load_verdict, verdict_of, verdict_path
from service.snapshot.verify import Conditions, Examination
from service.web.status import timestamp

_LOG: Final = structlog.get_logger(__name__)


class Holdings:
    """What lies in the home, and what orders may make of it. `ledger` says what they make of it now."""

    def __init__(self, home: Home, settings: Settings, clock: Clock, ledger: Ledger) -> None:
        self._home = home
        self._settings = settings
        self._clock = clock
        self._ledger = ledger
        self._catalog = Catalog.of(home)

    def listed(self, state: State) -> dict[str, Any]:
        """Every snapshot held, by its signed manifest, with the verdict on its load. Raises `TrustError`."""
        held = self._catalog.list(self._conditions(state), standing_of(state))
        return {
            "snapshots": [self._members(one) for one in held],
            "last_load": _told(load_verdict(self._catalog.root / LAST_LOAD)),
        }

    def judged(self, sequence: int, state: State, accept: str | None, progress: Progress) -> Examination:
        """All steps on a held snapshot, as `relais snapshot activate` takes them; the verdict is kept.

        Raises `NotFound` where it is not held, `TrustError`, `OperatorError`.
        """
        catalog = self._catalog
        self._check_held(sequence)
        with noted(catalog, None, self._clock):
            judged_by = self._conditions(state, accept)
            self._remember(judged_by.floor)
            examination = aside(lambda step: catalog.examine(sequence, judged_by, progress=step), progress)
        catalog.record(verdict_of(examination), None)
        return examination

    @contextmanager
    def refusals_noted(self, examination: Examination) -> Iterator[None]:
        """An activation that fails in the body, after its steps, is in the verdict too."""
        with noted(self._catalog, None, self._clock, examination):
            yield

    def settle(self, order: Order) -> None:
        """After an order that activates: remember the floor, and let go of what no longer stays.

        The order stands whatever becomes of this; what fails is left to the next load, and logged.
        """
        try:
            floor = floor_left(order)
            if floor is not None:
                self._remember(floor)
                self._catalog.prune(lambda: standing_of(self._ledger.state), self._settings.snapshot.keep)
        except (RelaisError, OSError) as error:
            _LOG.warning("activation_not_settled", error=type(error).__name__)

    def pinnable(
        self, sequence: int, state: State, intent_of: Callable[[Held], Intent], progress: Progress
    ) -> AbstractContextManager[Intent]:
        """The order that pins a held snapshot, once every step holds; nothing is pruned while the body gives it.

        Raises `NotFound` where it is not held, `TrustError`, `OperatorError` where it is damaged, and, before minutes
        of reading, as `Ledger.check`.
        """
        self._check_held(sequence)

        def check(intent: Intent) -> None:
            self._ledger.check(intent, self._clock.now())

        judged_by = self._conditions(state)
        return pinnable(self._catalog, sequence, state, judged_by, intent_of, check, progress)

    def still_held(self, proposal: Proposal) -> AbstractContextManager[None]:
        """A snapshot that is to serve stays here, as it was proposed, while the body approves it."""
        return still_held(self._home, self._settings, self._ledger.state, proposal, self._clock.now())

    def _check_held(self, sequence: int) -> None:
        if sequence not in self._catalog.sequences():
            raise NotFound("no snapshot of this sequence is held here")

    def _conditions(self, state: State, accept: str | None = None) -> Conditions:
        return conditions(self._home, self._settings, state, self._clock.now(), accept)

    def _remember(self, floor: Floor | None) -> None:
        """Raise the floor beside the node; the control store has it too: a disk that fails here undoes no order."""
        if floor is None:
            return
        try:
            raise_floor(self._home.node / FLOOR_FILE, floor)
        except OSError as error:
            _LOG.warning("floor_not_remembered", error=type(error).__name__)

    def _members(self, held: Held) -> dict[str, Any]:
        manifest = held.manifest
        base = None if manifest is None or manifest.base is None else manifest.base.sequence
        return {
            "sequence": held.sequence,
            "state": held.state.value,
            "digest": held.digest or None,
            "signers": list(held.signers),
            "expired": held.expired,
            "problem": held.problem or None,
            "kind": None if manifest is None else manifest.kind,
            "base": base,
            "created_at": None if manifest is None else timestamp(manifest.created_at),
            "valid_until": None if manifest is None else timestamp(manifest.valid_until),
            "counts": None if manifest is None else msgspec.to_builtins(manifest.counts),
            "verdict": _told(load_verdict(verdict_path(self._catalog.path(held.sequence)))),
        }


def _told(verdict: Verdict | None) -> Any:
    return None if verdict is None else msgspec.to_builtins(verdict)
