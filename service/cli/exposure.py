"""`relais exposure`: who reads how much of what they may."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import closing
from typing import Annotated, Final

from cyclopts import App, Parameter

from service.access.exposure import Exposed, Flag, Place, Read, Sort, Suspicion, ranked
from service.cli.common import DEFAULT_HOME, HomeOption, JsonOption, open_home, print_json
from service.cli.exits import Exit
from service.cli.ordering import open_ledger
from service.clock import SystemClock
from service.control.format import instant_text
from service.errors import OperatorError
from service.exposing import Meter, members, place_members, totals
from service.paris import paris_date

app = App(name="exposure")

DEFAULT_TOP: Final = 20


@app.default
def exposure(
    *,
    client: Annotated[
        str | None, Parameter(show_default=False, help="Only this client, with each FINESS that it asked for.")
    ] = None,
    sort: Annotated[
        Sort, Parameter(help="First who reads most today, is closest to a limit, or reads most beyond its usual.")
    ] = Sort.SHARE,
    top: Annotated[int, Parameter(help="So many clients at most.")] = DEFAULT_TOP,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> int:
    """Show lookups and people read at most, today and over a week, against what each client may; and its flags.

    Status 3 if the store that counts does not answer. Shown from this node's copy of the orders, it says so.
    """
    if top < 1:
        raise OperatorError("--top takes a number of clients, 1 or more")
    where, settings = open_home(home)
    now = SystemClock().now()
    with open_ledger(where, settings, stale=True) as ledger:
        view, status = ledger.state.view(now), ledger.status
    places: Sequence[Place] = ()
    with closing(Meter(where, settings)) as meter:
        if client is None:
            clients = meter.all(view, now)
        else:
            found = meter.one(client, view, now)
            if found is None:
                raise OperatorError(f"no client {client} is registered, and none of this id asked within the week")
            clients, places = [found[0]], found[1]
    shown = ranked(clients, sort)[:top]
    head = {"at": instant_text(now), "day": paris_date(now).isoformat(), "order_version": view.version}
    if json and client is not None:
        print_json({**head, "client": members(shown[0]), "finess": [place_members(place) for place in places]})
    elif json:
        listed = {"clients": [members(one) for one in shown], "left_out": len(clients) - len(shown)}
        print_json({**head, "sort": sort, "totals": totals(clients), **listed})
    else:
        _print(paris_date(now).isoformat(), clients, shown, places)
    if status.error:
        print(f"relais: orders shown from this node's copy: {status.error}", file=sys.stderr)
        return Exit.UNAVAILABLE
    return Exit.DONE


def _print(day: str, clients: Sequence[Exposed], shown: Sequence[Exposed], places: Sequence[Place]) -> None:
    sums = totals(clients)
    print(
        f"{day} in Paris: {sums['asked']} of {sums['clients']} clients asked,"
        f" {sums['lookups']} lookups, at most {sums['people_at_most']} people"
    )
    _table([("client", "today", "share", "people", "7 days", "share", "people", "trend", ""), *map(_row, shown)])
    for one in shown:
        if one.worst is not None and not places:
            print(f"  {one.client}: most for FINESS {one.worst.finess}, {_used(one.worst.today)}")
        if one.suspicion is not None:
            print(f"  {one.client}: {_suspicion(one.suspicion)}")
    if len(shown) < len(clients):
        print(f"and {len(clients) - len(shown)} more: --top")
    if places:
        _table([("finess", "today", "share", "people", "7 days", "share", "people", "", ""), *map(_place, places)])


def describe(one: Exposed) -> str:
    """The client that is most exposed, in one line."""
    worst = one.worst
    place = "" if worst is None else f"; for FINESS {worst.finess} {_used(worst.today)}"
    return f"most exposed {one.client}: {_used(one.today)} today, at most {one.today.people_at_most} people{place}"


def _row(one: Exposed) -> tuple[str, ...]:
    trend = "-" if one.trend is None else f"x{one.trend:.1f}"
    return one.client, *_figures(one.today), *_figures(one.week), trend, _flags(one)


def _place(one: Place) -> tuple[str, ...]:
    week = ("", "", "") if one.week is None else _figures(one.week)
    return one.finess, *_figures(one.today), *week, "", Flag.USED_UP if one.used_up else ""


def _figures(read: Read) -> tuple[str, str, str]:
    share = "?" if read.share is None else f"{read.share:.0%}"
    return str(read.lookups), share, str(read.people_at_most)


def _used(read: Read) -> str:
    if read.ceiling is None:
        return f"{read.lookups} lookups"
    return f"{read.lookups} of {read.ceiling} lookups"


def _flags(one: Exposed) -> str:
    ends = {Flag.LIMITED: one.limited_until, Flag.KEY_ENDING: one.key_ends}
    told = []
    for flag in one.flags:
        end = ends.get(flag)
        told.append(flag.value if end is None else f"{flag.value} until {instant_text(end)}")
    return ", ".join(told)


def _suspicion(one: Suspicion) -> str:
    where = "as a whole" if not one.finess else f"for FINESS {one.finess}"
    held = "" if one.held is None else f", only told ({one.held})"
    return f"sentinel {one.step} at {instant_text(one.at)} {where}: {', '.join(one.rules)}{held}"


def _table(rows: Sequence[tuple[str, ...]]) -> None:
    """The first and the last column to the left, the figures to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, *figures, last in rows:
        cells = (f"{cell:>{width}}" for cell, width in zip(figures, widths[1:-1], strict=True))
        print(f"{name:<{widths[0]}}  {'  '.join(cells)}  {last}".rstrip())
