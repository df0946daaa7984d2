"""Carries out what the sentinel decided: tells it, orders it, counts a slowed client's hours, heeds who lifts it."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict, deque
from typing import Final

import structlog

from service.access.sentinel import Action, Held, Sentinel
from service.access.suspicion import Rule, Step
from service.control.intent import Intent
from service.control.leases import LeaseStore
from service.control.ledger import Ledger
from service.control.state import ClientState
from service.control.suspicions import Suspicion, Suspicions
from service.errors import ControlError, RelaisError, StoreUnavailable
from service.jwk import PrivateKey
from service.paris import paris_date, paris_day
from service.sentinel.memory import Kept, Slowed
from service.sentinel.sentence import (
    Sentence,
    detail,
    is_hub,
    is_watched,
    lifted,
    meant,
    slower,
    slowing,
    step_name,
    suspensions,
)

_HOUR_SECONDS: Final = 3600.0
#: A hub for which so many pharmacies were suspended within a day is itself a matter for people.
HUB_PHARMACIES: Final = 3
#: Suspicions that wait for a store that is away.
_MOST_UNTOLD: Final = 1000
_LOG: Final = structlog.get_logger(__name__)


class Bailiff:
    """Works on what the judge keeps (`Kept`), in the judge's thread. Orders that cannot be given now wait in there."""

    def __init__(self, ledger: Ledger, key: PrivateKey, leases: LeaseStore, suspicions: Suspicions) -> None:
        self._ledger = ledger
        self._key = key
        self._leases = leases
        self._suspicions = suspicions
        self._untold: deque[Suspicion] = deque(maxlen=_MOST_UNTOLD)
        self._held: dict[str, float] = {}
        self._hubs: dict[str, dict[str, float]] = defaultdict(dict)

    def remind(self, now: dt.datetime) -> None:
        """Know again what was held within the hour, after another one's death."""
        for one in self._suspicions.since(now - dt.timedelta(seconds=_HOUR_SECONDS)):
            if one.held in {Held.CAP, Held.WAVE}:
                self._held[one.finess] = one.at.timestamp()

    def alarm(self, now: dt.datetime) -> str | None:
        """What people must look at: suspects that it may not act against, because they are too many at once."""
        since = now.timestamp() - _HOUR_SECONDS
        self._held = {finess: at for finess, at in self._held.items() if at > since}
        return f"{len(self._held)} suspects in the last hour were only told, being too many" if self._held else None

    def carry_out(self, actions: list[Action], kept: Kept, now: dt.datetime) -> None:
        """Tell each action, and order what is not held."""
        for action in actions:
            held = None if action.held is None else str(action.held)
            if held in {Held.CAP, Held.WAVE}:
                self._held[action.finess] = now.timestamp()
            if held is None and action.step > Step.NOTE:
                held = self._order(action, kept, now)
            self._say(action, held, now)
        self._tell()

    def go_on(self, sentinel: Sentinel, kept: Kept, now: dt.datetime) -> bool:
        """What is due without anything new: orders that waited, slowed hours, what somebody lifted; whether any was."""
        waiting, kept.pending = kept.pending, []
        for action in waiting:
            self._order(action, kept, now)
        slowed = self._slow_again(sentinel, kept, now)
        forgiven = self._heed(sentinel, kept, now)
        self._tell()
        return bool(waiting) or slowed or forgiven

    def _order(self, action: Action, kept: Kept, now: dt.datetime) -> str | None:
        """The orders an action comes to; why it is only told, where it is. What cannot be given now waits."""
        clients = self._named(action, now)
        try:
            sentence = self._sentence(action, clients, now)
            for intent in sentence.intents.values():
                self._issue(intent, now)
        except ControlError as error:
            _LOG.error("sentinel_order_waits", finess=action.finess, error=str(error))
            kept.pending.append(action)
            return None
        self._remember(action, sentence, clients, kept, now)
        return sentence.held

    def _named(self, action: Action, now: dt.datetime) -> dict[str, ClientState]:
        """Without those that are only watched: others may be meant beside them."""
        known = self._ledger.state.clients
        named = {name: known[name].at(now) for name in meant(action, known)}
        return {name: one for name, one in named.items() if not is_watched(one)}

    def _sentence(self, action: Action, clients: dict[str, ClientState], now: dt.datetime) -> Sentence:
        if action.step is Step.SUSPEND:
            return suspensions(action, clients)
        day, ends = _day(now)
        return slowing(action, clients, lambda name: self._leases.spent(day, name, action.finess)[0], ends)

    def _issue(self, intent: Intent, now: dt.datetime) -> None:
        """Raises `ControlError` where it may succeed later; what can never be ordered is only logged."""
        try:
            self._ledger.issue_sentinels((intent,), self._key, now)
        except ControlError:
            raise
        except RelaisError as error:
            _LOG.error("sentinel_order_refused", client=intent.scope, kind=intent.kind, error=str(error))

    def _remember(
        self, action: Action, sentence: Sentence, clients: dict[str, ClientState], kept: Kept, now: dt.datetime
    ) -> None:
        if action.step is Step.SUSPEND:
            kept.suspended[action.finess] = sorted(clients)
            for name, known in clients.items():
                kept.slowed.pop(name, None)
                if is_hub(known):
                    self._count_hub(name, action, now)
            return
        day, _ = _day(now)
        for name, known in clients.items():
            if not is_hub(known):
                again = now.timestamp() + _HOUR_SECONDS
                kept.slowed[name] = Slowed(action.finess, again, day, ordered=name in sentence.intents)

    def _count_hub(self, hub: str, action: Action, now: dt.datetime) -> None:
        pharmacies = self._hubs[hub]
        pharmacies[action.finess] = now.timestamp()
        recent = [finess for finess, at in pharmacies.items() if at > now.timestamp() - 24 * _HOUR_SECONDS]
        if len(recent) == HUB_PHARMACIES:
            said = f"suspended for {len(recent)} pharmacies within a day"
            rules = tuple(sorted({str(one.rule) for one in action.findings}))
            self._untold.append(Suspicion(now, "", (hub,), step_name(Step.NOTE), rules, said))
            _LOG.error("hub_suspected", client=hub, detail=said)

    def _slow_again(self, sentinel: Sentinel, kept: Kept, now: dt.datetime) -> bool:
        """Each hour of the same day, an hour's lookups more."""
        day, ends = _day(now)
        due = [name for name, one in kept.slowed.items() if one.day != day or now.timestamp() >= one.again_at]
        for name in due:
            one = kept.slowed.pop(name)
            known = self._ledger.state.clients.get(name)
            if known is None or one.day != day or sentinel.step(one.finess) is not Step.SLOW:
                continue
            try:
                limit = slower(name, known.at(now), self._leases.spent(day, name, one.finess)[0], ends, "slowed: on")
                if limit is not None:
                    self._issue(limit, now)
            except ControlError:
                kept.slowed[name] = one  # the hour before holds on until the store is back
                continue
            ordered = one.ordered or limit is not None
            kept.slowed[name] = Slowed(one.finess, now.timestamp() + _HOUR_SECONDS, day, ordered=ordered)
        return bool(due)

    def _heed(self, sentinel: Sentinel, kept: Kept, now: dt.datetime) -> bool:
        """Who resumes a client, with a reason, forgives it."""
        clients = self._ledger.state.clients
        forgiven = [finess for finess, names in kept.suspended.items() if lifted(finess, names, clients)]
        for name, one in list(kept.slowed.items()):
            if one.ordered and name in clients and not clients[name].at(now).slowed and one.day == _day(now)[0]:
                forgiven.append(one.finess)
                del kept.slowed[name]
        for finess in forgiven:
            sentinel.forgive(finess)
            kept.suspended.pop(finess, None)
            _LOG.warning("sentinel_forgave", finess=finess)
        return bool(forgiven)

    def _say(self, action: Action, held: str | None, now: dt.datetime) -> None:
        rules = tuple(sorted({str(Rule(one.rule)) for one in action.findings}))
        step, seen = step_name(action.step), detail(action)
        self._untold.append(Suspicion(now, action.finess, action.clients, step, rules, seen, held))
        _LOG.warning("suspicion", finess=action.finess, clients=action.clients, step=step, detail=seen, held=held)

    def _tell(self) -> None:
        if not self._untold:
            return
        telling = list(self._untold)
        try:
            self._suspicions.add(telling)
        except StoreUnavailable:
            return
        self._untold.clear()


def _day(now: dt.datetime) -> tuple[str, dt.datetime]:
    """The day in Paris as budgets name it, and when it ends."""
    return paris_date(now).isoformat(), paris_day(now)[1]
