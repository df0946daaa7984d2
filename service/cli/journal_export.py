"""`relais journal export`: the timeline of an incident for whoever investigates it (ANSSI), without any identity."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import msgspec
from cyclopts import Parameter

from service.cli.common import DEFAULT_HOME, HomeOption, open_home
from service.cli.officer import JournalOption, SinceOption, UntilOption, selection, verify_directory
from service.cli.ordering import open_ledger
from service.cli.progress import Meter
from service.clock import SystemClock
from service.control.format import order_payload
from service.control.suspicions import SqliteSuspicions
from service.errors import StoreUnavailable
from service.files import PRIVATE_MODE, write_durable
from service.journal import timeline
from service.journal.entries import instant
from service.journal.selection import Reading
from service.journal.timeline import Event
from service.settings import Home, Settings
from service.strictjson import parse_json_object

#: Stands among the clients of a suspicion where all that may ask for a pharmacy are meant.
EVERYBODY: Final = "*"


def export(
    *,
    client: Annotated[str | None, Parameter(help="Count this client's answers only; orders are told all.")] = None,
    since: SinceOption = None,
    until: UntilOption = None,
    out: Annotated[Path | None, Parameter(help="File to write, mode 0600; by default standard output.")] = None,
    journal: JournalOption = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Print what happened as lines of JSON, oldest first: orders, suspicions, segments, answers by hour, damages.

    Orders carry their reasons and authors, the sentinel's too; counts of answers carry no person and no pseudonym.
    """
    where, settings = open_home(home)
    now, folder = SystemClock().now(), where.journal if journal is None else journal.absolute()
    wanted = selection(client, since, until, now)
    with Meter() as meter:
        reading = Reading(folder, wanted, None, partial(meter.report, "reading"))
        events = [*_orders(where, settings), *_suspicions(where, client)]
        events += [*timeline.of_segments(folder), *timeline.of_answers(reading)]
    damages = [finding for finding in verify_directory(where, settings, folder, now).findings if finding.damages]
    found = timeline.in_order(events, wanted.since, wanted.until)
    found += [timeline.of_damage(finding, instant(now)) for finding in damages]
    data = b"".join(msgspec.json.encode(event) + b"\n" for event in found)
    if out is None:
        sys.stdout.write(data.decode("utf-8"))
    else:
        write_durable(out, data, PRIVATE_MODE)


def _orders(home: Home, settings: Settings) -> Iterator[Event]:
    with open_ledger(home, settings, stale=True) as ledger:
        orders = list(ledger.orders())
    for order in orders:
        yield timeline.of_order(parse_json_object(order_payload(order)))


def _suspicions(home: Home, client: str | None) -> Iterator[Event]:
    """Those against a client (None: all). They lie in the second store, which a copied journal comes without."""
    store = SqliteSuspicions(home.fleet)
    try:
        for one in store.since(dt.datetime.min.replace(tzinfo=dt.UTC)):
            if client is None or client in one.clients or EVERYBODY in one.clients:
                yield timeline.of_suspicion(instant(one.at), msgspec.to_builtins(one))
    except StoreUnavailable:
        print("relais: the store of what the sentinel noticed does not answer: none of it is told", file=sys.stderr)
    finally:
        store.close()
