"""The composition root: what one worker of each server is made of, opened and closed in order.

gunicorn's workers call `rights` or `admin` after the fork; each resource is a cleanup context of the application.
"""

from __future__ import annotations

import datetime as dt
import gc
import os
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import structlog
from aiohttp import web

from service import telemetry
from service.access.clients import admin_audience
from service.access.gate import Gate
from service.access.registry import Registry
from service.access.sentinel import Policy
from service.access.suspicion import Rule
from service.clock import Clock, SystemClock
from service.control.fleet import FleetStore, Server
from service.control.leases import SqliteLeaseStore
from service.control.ledger import Ledger
from service.control.marks import SqliteMarkStore
from service.control.outages import Share, SqliteOutages
from service.control.pulse import Pulse
from service.control.replica import COPY_FILE, Replica
from service.control.store import SqliteOrderStore
from service.control.suspicions import SqliteSuspicions
from service.control.watch import Watcher
from service.deciding import chain_keys, decisions_on
from service.exposing import Meter
from service.follower import Follower, Vault
from service.journal.charges import Charges, count_charges
from service.journal.writer import JournalWriter
from service.keyring import load_officers, load_receipt_key, load_receipt_keys
from service.sentinel.bailiff import Bailiff
from service.sentinel.judge import LOCK_FILE, Bench, Judge
from service.sentinel.memory import MEMORY_FILE, Memory
from service.sentinel.witness import Witness
from service.settings import Home, Settings, load_or_keep_settings
from service.slots import claim_slot
from service.snapshot.catalog import Catalog
from service.snapshot.crashes import Crashes
from service.snapshot.lookout import Lookout
from service.snapshot.pepper import load_peppers
from service.snapshot.truststore import TrustStore
from service.upstream.consult import consultant
from service.upstream_token import upstream_token
from service.web import routes
from service.web.admin.desk import DESK, Desk
from service.web.admin.holdings import Holdings
from service.web.answering import ANSWERER, Answerer
from service.web.batch_api import BATCHES, Batches
from service.web.charging import Charging
from service.web.context import CONTEXT, Context
from service.web.edge import routed
from service.web.lending import Lender
from service.web.outage_report import OutageReport
from service.web.retries import Retries
from service.web.rights_api import RETRIES
from service.web.server import Runner

KEEPALIVE_SECONDS = 75.0
#: With the second of draining before it, less than gunicorn's graceful timeout.
SHUTDOWN_SECONDS = 8.0
#: New objects before the cycle collector looks through them.
GARBAGE_OBJECTS = 20_000
_LOG = structlog.get_logger(__name__)


async def rights() -> web.AppRunner:
    """A worker of the rights server, for gunicorn."""
    return _runner("rights")


async def admin() -> web.AppRunner:
    """A worker of the admin server, for gunicorn."""
    return _runner("admin")


def _runner(server: Server) -> web.AppRunner:
    telemetry.configure_logs()
    home = Home(Path(os.environ["RELAIS_HOME"]))
    settings, fault = load_or_keep_settings(home, os.environ, home.run / f"{server}.toml")
    app = build(server, home, settings, SystemClock())
    if fault is not None:
        _LOG.error("settings_refused", error=str(fault))
        app[CONTEXT].settings_error = str(fault)
    return Runner(app, KEEPALIVE_SECONDS, SHUTDOWN_SECONDS)


def build(server: Server, home: Home, settings: Settings, clock: Clock) -> web.Application:
    """The application of one worker."""
    registry = Registry()
    name = settings.instance.name
    audience = name if server == "rights" else admin_audience(name)
    ledger = open_ledger(home, settings)
    context = Context(
        settings=settings,
        clock=clock,
        registry=registry,
        gate=Gate(audience, registry, settings.limits.token_entries),
        receipt_keys=load_receipt_keys(home, settings) if server == "rights" else {},
        view=ledger.state.view(clock.now()),
        spread=lambda low, high: low + secrets.randbelow(high - low + 1),
        ledger_status=lambda: ledger.status,
        lookout=Lookout(home, settings),
    )
    app = web.Application(client_max_size=settings.limits.batch_bytes)
    app[CONTEXT] = context
    if server == "rights":
        app.add_routes(routed(routes.RIGHTS))
        app[ANSWERER] = Answerer(context)
        limits = settings.limits
        app[RETRIES] = Retries(limits.retry_seconds, limits.retry_entries)
        app[BATCHES] = Batches(Retries(limits.retry_seconds, limits.retry_entries, limits.retry_batch_bytes))
    else:
        app.add_routes(routed(routes.ADMIN))
        app[DESK] = _desk(home, settings, clock, ledger)
    app.cleanup_ctx.append(lambda _: _resources(server, home, context, ledger))
    return app


def _spare_the_collector() -> None:
    """Leave what a worker has loaded by now out of the cycle collector's rounds, and let it come less often.

    A batch has thousands of objects under way that no cycle holds; looking through them was a tenth of its cost.
    """
    gc.freeze()
    gc.set_threshold(GARBAGE_OBJECTS, 20, 20)


def _desk(home: Home, settings: Settings, clock: Clock, ledger: Ledger) -> Desk:
    return Desk(
        ledger,
        decisions_on(ledger, home, settings),
        Holdings(home, settings, clock, ledger),
        Meter(home, settings),
    )


def open_ledger(home: Home, settings: Settings) -> Ledger:
    """The chain of orders, verified; from the node's copy where the store is lost."""
    ledger = Ledger(SqliteOrderStore(home.orders), chain_keys(home, settings), Replica(home.node / COPY_FILE))
    ledger.open()
    return ledger


async def _resources(server: Server, home: Home, context: Context, ledger: Ledger) -> AsyncIterator[None]:
    """Slot, heartbeat, journal, orders and snapshot: the heartbeat is the last to begin and the first to end."""
    settings, clock = context.settings, context.clock
    fleet = FleetStore(home.fleet)
    with claim_slot(home.run, server) as slot:
        crashes = Crashes(home.run, slot)
        if server == "rights":
            _take_over(crashes, clock)
        follower = Follower(context, _vault(home, settings, crashes) if server == "rights" else None)
        pulse = Pulse(
            fleet,
            clock,
            follower.serving,
            node=settings.instance.node,
            server=server,
            worker=slot,
            heartbeat_seconds=settings.control.heartbeat_seconds,
        )
        follower.on_followed = pulse.nudge
        answering = await _begin_answering(home, context, slot, fleet, ledger) if server == "rights" else None
        watcher = Watcher(ledger, clock, settings.control.watch_seconds, follower.follow)
        await watcher.start()
        if answering is not None:
            await answering.judge.start()  # knows the orders by now, and need not wait for a snapshot
        await follower.settled()
        _spare_the_collector()
        await pulse.start()
        yield
        await pulse.close()
        await watcher.close()
        await follower.close()
        if answering is not None:
            await answering.close(context)
        crashes.close()
        fleet.close()
        ledger.close()


class _Answering(NamedTuple):
    """What only a rights worker has and no request asks for; the rest of it is in the context."""

    report: OutageReport
    judge: Judge

    async def close(self, context: Context) -> None:
        """After the last answer: what is still owed is recorded, settled, told and handed over, in this order."""
        if context.upstream is not None:
            await context.upstream.close()
        if context.journal is not None:
            await context.journal.close()
        if context.charging is not None:
            await context.charging.close()
        await self.report.close()
        if context.witness is not None:
            await context.witness.close()
        await self.judge.close()


async def _begin_answering(home: Home, context: Context, slot: int, fleet: FleetStore, ledger: Ledger) -> _Answering:
    """Upstream, journal, budgets and the sentinel's witness, in the context; the judge begins later, with orders."""
    settings, clock = context.settings, context.clock
    if settings.upstream.url:
        context.upstream = consultant(settings.upstream, upstream_token(home, settings, clock), clock)
    context.journal = _journal(home, settings, slot, clock, fleet)
    await context.journal.start()
    context.charging = _charging(home, settings, slot, clock)
    await context.charging.start()
    report = OutageReport(context.charging, SqliteOutages(home.fleet), _share(settings, slot))
    await report.start()
    context.witness = Witness(SqliteMarkStore(home.fleet), clock)
    await context.witness.start()
    return _Answering(report, Judge(_bench(home, settings, ledger), clock))


def _take_over(crashes: Crashes, clock: Clock) -> None:
    """A disk that is full must not keep a worker from starting: it then only has no last words."""
    try:
        crash = crashes.take_over(clock.now())
    except OSError as error:
        _LOG.error("last_words_unwritable", error=error.strerror)
        return
    if crash is not None:
        _LOG.error("worker_was_killed", fault=crash.fault, sequence=crash.sequence)


def _vault(home: Home, settings: Settings, crashes: Crashes) -> Vault:
    return Vault(
        catalog=Catalog.of(home),
        load_trust=TrustStore.of(home, demo=settings.instance.demo).load,
        load_peppers=lambda: load_peppers(home.path(settings.keys.pepper)),
        out_of_scope=settings.query.out_of_scope_amcs,
        crashes=crashes,
    )


def _journal(home: Home, settings: Settings, slot: int, clock: Clock, fleet: FleetStore) -> JournalWriter:
    return JournalWriter(
        home.journal,
        settings.instance.node,
        slot,
        load_receipt_key(home, settings),
        load_officers(home, settings),
        clock,
        fleet,
        fsync=settings.journal.fsync,
    )


def _share(settings: Settings, slot: int) -> Share:
    """The part of the outage share that this slot gives of, as `_charging` splits it."""
    workers = settings.rights.workers
    return Share(settings.instance.node, slot % workers, workers)


def _bench(home: Home, settings: Settings, ledger: Ledger) -> Bench:
    """Its own connections: it works in a thread."""
    chosen = settings.sentinel
    policy = Policy(
        report=chosen.mode == "report",
        report_rules=frozenset(map(Rule, chosen.report_rules)),
        least_fleet=chosen.least_pharmacies,
        least_cap=chosen.most_an_hour,
        cap_share=chosen.most_an_hour_percent / 100,
    )
    key, leases = load_receipt_key(home, settings), SqliteLeaseStore(home.fleet)
    bailiff = Bailiff(ledger, key, leases, SqliteSuspicions(home.fleet))
    memory = Memory(home.node / MEMORY_FILE)
    return Bench(home.run / LOCK_FILE, memory, SqliteMarkStore(home.fleet), bailiff, ledger, policy)


def _charging(home: Home, settings: Settings, slot: int, clock: Clock) -> Charging:
    """A server that takes its settings anew has workers in slots above: those continue the shares of the lower ones."""
    node, workers = settings.instance.node, settings.rights.workers

    def count(since: dt.date) -> Charges:
        return count_charges(home.journal, node, lambda other: other % workers == slot % workers, since)

    lender = Lender(SqliteLeaseStore(home.fleet), clock, count, f"{node}/{slot}")
    return Charging(lender, clock, settings.budgets, workers * settings.budgets.nodes)
