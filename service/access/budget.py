"""How much a client may read in a day, and how much of it may be lent out next. Pure.

A budget belongs to a (client, FINESS, Europe/Paris day). What is lent counts as spent until it is known how much of it
was used, so that no order of draws, crashes and returns gives more than the budget. Each lookup lent may turn out to
be about nobody known, so it counts against the unknown answers too until its answer is there.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from service.access.clients import Client, ClientClass
from service.spent import NOTHING, Spent, together

#: Of a day's budget, for the time that the store of leases cannot be reached: a fifth, over all workers.
OUTAGE_SHARE: Final = 5
#: The less is left, the less is lent at once, so that little lies idle with other workers when it matters.
_PART_LENT: Final = 8


class Limits(NamedTuple):
    """What a client may do a day: `daily` lookups and `unknown` answers about nobody known for one FINESS.

    `ceiling` is the most lookups of a hub, over all its pharmacies; None for a pharmacy.
    """

    daily: int
    unknown: int
    ceiling: int | None = None


def limits_of(client: Client, hub_ceiling_percent: int) -> Limits:
    """A client's limits. A hub's ceiling is a share of its pharmacies' budgets, and at least one of them."""
    if client.client_class is not ClientClass.HUB:
        return Limits(client.daily, client.unknown)
    ceiling = client.daily * len(client.finess) * hub_ceiling_percent // 100
    return Limits(client.daily, client.unknown, max(client.daily, ceiling))


def outage_limits(limits: Limits, slots: int) -> Limits:
    """What one of `slots` workers may give of these limits while the store of leases cannot be reached."""
    parts = OUTAGE_SHARE * slots
    ceiling = None if limits.ceiling is None else limits.ceiling // parts
    return Limits(limits.daily // parts, limits.unknown // parts, ceiling)


def left_of(limits: Limits, spent: Spent, of_client: Spent) -> int:
    """Lookups that may still be lent, never below 0. `of_client` is what the client spent over all its FINESS."""
    left = min(limits.daily - spent[0], limits.unknown - spent[1])
    if limits.ceiling is not None:
        left = min(left, limits.ceiling - of_client[0])
    return max(left, 0)


def grantable(limits: Limits, wanted: int, spent: Spent, of_client: Spent) -> int:
    """How many lookups to lend now: at most `wanted`, an eighth of what is left, and one as long as there is one."""
    left = left_of(limits, spent, of_client)
    return min(wanted, left, max(1, left // _PART_LENT))


class Shares:
    """What this worker lent to itself while the store could not be reached, by FINESS and by client, on one day."""

    def __init__(self) -> None:
        self._spent: dict[tuple[str, str], Spent] = {}
        self._of_client: dict[str, Spent] = {}

    def draw(self, client: str, finess: str, limits: Limits, wanted: int) -> int:
        """Lend up to `wanted` lookups within `limits`, those of `outage_limits`."""
        key = client, finess
        granted = grantable(limits, wanted, self._spent.get(key, NOTHING), self._of_client.get(client, NOTHING))
        self.add(client, finess, (granted, granted))
        return granted

    def settle(self, client: str, finess: str, granted: int, used: Spent) -> None:
        """Of `granted` lookups, these were used."""
        self.add(client, finess, (used[0] - granted, used[1] - granted))

    def spent(self) -> dict[tuple[str, str], Spent]:
        """What was lent and is not known to be unused, by client and FINESS."""
        return dict(self._spent)

    def add(self, client: str, finess: str, spent: Spent) -> None:
        """Count what was spent before, say before a restart."""
        key = client, finess
        self._spent[key] = together(self._spent.get(key, NOTHING), spent)
        self._of_client[client] = together(self._of_client.get(client, NOTHING), spent)
