"""What anyone may know: liveness, readiness with its reasons, the public status."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any, Final

from aiohttp import web

from service.control.format import EVERYWHERE
from service.control.state import DEFAULT_MODE
from service.rights.freshness import freshness
from service.snapshot.supply import public_members
from service.upstream.breaker import Phase
from service.web.context import CONTEXT, Context
from service.web.responses import json_response

#: A judge says every second that it is at work; another takes a dead one's seat within two.
SILENT_SECONDS: Final = 15.0
#: Code, whether it must get no requests, and what is known of the cause.
_Trouble = tuple[str, bool, str]


async def livez(_: web.Request) -> web.Response:
    """The process answers."""
    return json_response({"status": "alive"})


async def readyz(request: web.Request) -> web.Response:
    """Whether to send requests here: 200 or 503, with the reasons as data. Mode suspended does not unready a worker."""
    reasons = readiness(request.app[CONTEXT])
    ready = not any(reason["blocking"] for reason in reasons)
    return json_response({"ready": ready, "reasons": reasons}, status=200 if ready else 503)


async def status(request: web.Request) -> web.Response:
    """Modes, freshness and notices, without personal data; cacheable for 5 s."""
    return json_response(document(request.app[CONTEXT]), headers={"Cache-Control": "public, max-age=5"})


def readiness(context: Context) -> list[dict[str, Any]]:
    """What troubles this worker: code, whether it must get no requests, and what is known of the cause."""
    troubles = (
        *_of_the_journal(context),
        *_of_the_budgets(context),
        *_of_the_sentinel(context),
        *_of_the_snapshot(context),
        *_of_the_upstream(context),
        *_of_what_is_followed(context),
    )
    return [{"code": code, "blocking": blocking, "detail": detail} for code, blocking, detail in troubles]


def _of_the_journal(context: Context) -> Iterator[_Trouble]:
    if context.journal is None:
        return
    known = context.journal.status
    if not known.writable:
        yield "journal_unwritable", True, known.last_failure or "not open yet"
    if known.register_failure is not None:
        yield "journal_register", False, known.register_failure


def _of_the_budgets(context: Context) -> Iterator[_Trouble]:
    """While leases cannot be drawn, pharmacies have what this worker holds, and a share of their budget."""
    if context.charging is None:
        return
    known = context.charging.status
    if known.down_since is not None:
        detail = f"since {timestamp(known.down_since)}; {known.outage_lookups} lookups of the outage share lent today"
        yield "budget_store", False, detail


def _of_the_sentinel(context: Context) -> Iterator[_Trouble]:
    """Thieves are noticed while marks come to somebody who judges; too many at once are for people to look at."""
    if context.witness is None:
        return
    known = context.witness.status
    heard = known.began if known.seat is None else max(known.began, known.seat.at)
    if known.down_since is not None:
        detail = f"marks wait since {timestamp(known.down_since)}: {known.waiting}, {known.lost} lost"
        yield "sentinel_silent", False, detail
    elif (context.clock.now() - heard).total_seconds() > SILENT_SECONDS:
        yield "sentinel_silent", False, f"nobody has judged since {timestamp(heard)}"
    elif known.seat is not None and known.seat.alarm is not None:
        yield "sentinel_alarm", False, known.seat.alarm


def _of_the_snapshot(context: Context) -> Iterator[_Trouble]:
    if context.serves_rights and context.knowledge is None:
        yield "no_snapshot", True, context.refusal or "no snapshot has been activated"
    elif context.refusal is not None:
        yield "snapshot_refused", False, context.refusal
    for warning in context.supply(context.clock.now()).warnings:
        yield warning.code.value, False, warning.detail
    if context.unreadable_records:
        yield "record_unreadable", False, f"{context.unreadable_records} answers since this worker began"
    if context.clock_suspect:
        yield "clock_suspect", False, "this machine's clock is behind a time already seen"


def _of_the_upstream(context: Context) -> Iterator[_Trouble]:
    """Where it is to be asked and cannot: the snapshot answers meanwhile."""
    if not context.live or not context.serves_rights:
        return
    if context.upstream is None:
        yield "upstream_missing", False, "mode live is ordered, and upstream.url is empty"
        return
    known = context.upstream.status()
    if known.phase in (Phase.OPEN, Phase.HALF_OPEN):
        detail = f"{known.phase} since {timestamp(known.since)}, {known.last_error or 'slow'}"
        yield "upstream_unavailable", False, detail


def _of_what_is_followed(context: Context) -> Iterator[_Trouble]:
    known = context.ledger_status()
    if known.error is not None:
        yield "control_store", False, known.error
    if known.copy_error is not None:
        yield "orders_copy", False, known.copy_error
    if context.registry.broken:
        yield "client_unreadable", False, f"{len(context.registry.broken)} registrations"
    if context.settings_error is not None:
        yield "settings_refused", False, context.settings_error


def document(context: Context) -> dict[str, Any]:
    """The public status of this worker. The reason of an order is public, its author is not."""
    now = context.clock.now()
    modes = {EVERYWHERE: DEFAULT_MODE, **context.view.modes}
    return {
        "instance": context.settings.instance.name,
        "at": timestamp(now),
        "modes": [
            {
                "scope": scope,
                "mode": mode.mode,
                "since": timestamp_or_null(mode.since),
                "until": timestamp_or_null(mode.until),
                "reason": mode.reason,
                "order": mode.version,
            }
            for scope, mode in sorted(modes.items())
        ],
        "snapshot": _snapshot(context, now),
        "upstream": _upstream(context),
        "supply": public_members(context.supply(now)),
        "notices": context.notices(),
        "order_version": context.view.version,
        "readiness": readiness(context),
    }


def _upstream(context: Context) -> dict[str, Any] | None:
    """How this worker stands with the upstream: its breaker, and what the calls of the last seconds came to."""
    if context.upstream is None:
        return None
    known = context.upstream.status()
    return {
        "phase": known.phase,
        "share_percent": known.share,
        "since": timestamp(known.since),
        "failure_percent": None if known.failure_percent is None else round(known.failure_percent),
        "slow_percent": None if known.slow_percent is None else round(known.slow_percent),
        "last_error": known.last_error,
        "last_error_at": timestamp_or_null(known.last_error_at),
    }


def timestamp(instant: dt.datetime) -> str:
    """RFC 3339 in UTC, whole seconds."""
    return instant.astimezone(dt.UTC).isoformat(timespec="seconds")[:-6] + "Z"


def timestamp_or_null(instant: dt.datetime | None) -> str | None:
    """As `timestamp`; null where there is no instant."""
    return None if instant is None else timestamp(instant)


def _snapshot(context: Context, now: dt.datetime) -> dict[str, Any] | None:
    knowledge = context.knowledge
    if knowledge is None:
        return None
    return {
        "sequence": knowledge.snapshot,
        "signed_at": timestamp(knowledge.signed_at),
        "valid_until": timestamp(knowledge.valid_until),
        "expired": now > knowledge.valid_until,
        "pinned": context.view.pin is not None,
        "amcs": [
            {
                "amc": number,
                "name": amc.name,
                "extracted_at": timestamp(amc.extracted_at),
                "freshness": freshness(amc.extracted_at, now, amc.stand_in.max_age_days).value,
            }
            for number, amc in sorted(knowledge.amcs.items())
        ],
    }
