"""What each client reads of what it may: one assembly, so that the command line and the admin server tell alike."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from service.access import exposure
from service.access.budget import limits_of
from service.access.clients import ClientClass, parse_terms
from service.access.exposure import Exposed, Place, Spendings, Standing, Suspicion
from service.access.keylife import ending_keys
from service.control.format import instant_text
from service.control.spendings import Spending, SpendingStore
from service.control.state import ClientState, View
from service.control.suspicions import SqliteSuspicions
from service.control.suspicions import Suspicion as Told
from service.errors import InvalidField
from service.paris import paris_date, paris_day
from service.settings import Home, Settings

#: What each client spent over some days.
ByClient = Mapping[str, Spending]
_ASKING: Final = frozenset({ClientClass.PHARMACY, ClientClass.HUB})
_NOTHING: Final = Spending()
_HARDNESS: Final = {"note": 1, "slow": 2, "suspend": 3}
_ALL_WHO_MAY_ASK: Final = "*"


class Meter:
    """What the second store of a home knows of each client, beside what the orders say of it.

    When the store is gone every method raises `StoreUnavailable`: nobody else knows what was read.
    """

    def __init__(self, home: Home, settings: Settings) -> None:
        self._spendings = SpendingStore(home.fleet)
        self._suspicions = SqliteSuspicions(home.fleet)
        self._hub_ceiling_percent = settings.budgets.hub_ceiling_percent

    def all(self, view: View, now: dt.datetime) -> list[Exposed]:
        """Every client that may ask, or asked within the week, in no order."""
        return self._exposed(view, now, *self._spendings.by_client(*exposure.periods(paris_date(now))))

    def one(self, client: str, view: View, now: dt.datetime) -> tuple[Exposed, list[Place]] | None:
        """A client, and each FINESS that it asked for within the week, most first; None where nobody knows it."""
        state = view.clients.get(client)
        only = msgspec.structs.replace(view, clients={} if state is None else {client: state})
        days = exposure.periods(paris_date(now))
        exposed = {
            one.client: one for one in self._exposed(only, now, *self._spendings.by_client(*days, client=client))
        }
        if client not in exposed:
            return None
        limits = self._standing(client, state).limits
        today, recent = self._spendings.by_finess(client, days.today, days.recent)
        places = [
            exposure.place(one, limits, today.get(one, _NOTHING), recent.get(one, _NOTHING))
            for one in {**recent, **today}
        ]
        return exposed[client], sorted(places, key=_most_first)

    def _exposed(
        self, view: View, now: dt.datetime, today: ByClient, recent: ByClient, earlier: ByClient
    ) -> list[Exposed]:
        exposed = []
        day = exposure.periods(paris_date(now)).today
        for client, standing in self._standings(view, now, {*today, *recent}).items():
            spent = Spendings(*(period.get(client, _NOTHING) for period in (today, recent, earlier)))
            worst = self._worst(client, standing, day) if client in today else None
            exposed.append(exposure.expose(client, standing, spent, worst))
        return exposed

    def close(self) -> None:
        """Let go of the store."""
        self._spendings.close()
        self._suspicions.close()

    def _worst(self, client: str, standing: Standing, today: tuple[str, str]) -> Place | None:
        """Of a hub, the FINESS that comes closest to its budget."""
        if standing.terms is None or standing.terms.client_class is not ClientClass.HUB:
            return None
        (spent,) = self._spendings.by_finess(client, today)
        return exposure.closest(standing.limits, spent)

    def _standings(self, view: View, now: dt.datetime, spenders: Iterable[str]) -> Mapping[str, Standing]:
        known = {client: self._standing(client, state) for client, state in view.clients.items()}
        asking = {
            client: one for client, one in known.items() if one.terms is None or one.terms.client_class in _ASKING
        }
        found = {
            **dict.fromkeys(spenders, Standing()),
            **asking,
            **{one: known[one] for one in spenders if one in known},
        }
        changes: dict[str, dict[str, Any]] = defaultdict(dict)
        for key in reversed(ending_keys(view.clients, now)):
            changes[key.client_id]["key_ends"] = key.end
        midnight = paris_day(now)[0]
        for client, suspicion in _hardest(self._suspicions.since(midnight), found).items():
            changes[client]["suspicion"] = suspicion
        for client, change in changes.items():
            if client in found:
                found[client] = msgspec.structs.replace(found[client], **change)
        return found

    def _standing(self, client: str, state: ClientState | None) -> Standing:
        if state is None:
            return Standing()
        ends = min(state.ends()) if state.limits else None
        try:
            terms = parse_terms(client, state.body)
        except InvalidField:
            return Standing(suspended=state.suspended, slowed=state.slowed, limited_until=ends)
        return Standing(
            terms,
            limits_of(terms, self._hub_ceiling_percent),
            state.suspended,
            frozenset(state.suspended_finess),
            state.slowed,
            ends,
        )


def members(exposed: Exposed) -> dict[str, Any]:
    """A client's exposure for machines."""
    suspicion = exposed.suspicion
    return {
        **_plain(exposed),
        "limited_until": _instant(exposed.limited_until),
        "key_ends": _instant(exposed.key_ends),
        "suspicion": None if suspicion is None else {**_plain(suspicion), "at": instant_text(suspicion.at)},
    }


def place_members(place: Place) -> dict[str, Any]:
    """A FINESS for machines."""
    return _plain(place)


def totals(clients: Iterable[Exposed]) -> dict[str, int]:
    """How many clients there are, how many asked today, and what all of them read today at most."""
    found = list(clients)
    return {
        "clients": len(found),
        "asked": sum(one.today.lookups > 0 for one in found),
        "lookups": sum(one.today.lookups for one in found),
        "people_at_most": sum(one.today.people_at_most for one in found),
    }


def _hardest(told: Iterable[Told], standings: Mapping[str, Standing]) -> dict[str, Suspicion]:
    """The hardest step of the day about each client that is meant, the latest of several."""
    hardest: dict[str, Suspicion] = {}
    for one in told:
        suspicion = Suspicion(one.at, one.finess, one.step, one.rules, one.held)
        for client in _meant(one, standings):
            known = hardest.get(client)
            if known is None or _HARDNESS.get(known.step, 0) <= _HARDNESS.get(one.step, 0):
                hardest[client] = suspicion
    return hardest


def _meant(told: Told, standings: Mapping[str, Standing]) -> Iterator[str]:
    if _ALL_WHO_MAY_ASK not in told.clients:
        yield from told.clients
        return
    for client, standing in standings.items():
        if standing.terms is not None and told.finess in standing.terms.finess_index:
            yield client


def _most_first(place: Place) -> tuple[int, int, str]:
    week = 0 if place.week is None else place.week.lookups
    return -place.today.lookups, -week, place.finess


def _instant(instant: dt.datetime | None) -> str | None:
    return None if instant is None else instant_text(instant)


def _plain(value: Exposed | Place | Suspicion) -> dict[str, Any]:
    built: dict[str, Any] = msgspec.to_builtins(value, builtin_types=(dt.datetime,))
    return built
