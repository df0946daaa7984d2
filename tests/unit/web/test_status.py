from __future__ import annotations

import datetime as dt
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from service.access.registry import Registry
from service.control.ledger import LedgerStatus
from service.control.marks import Seat
from service.control.state import ClientState
from service.journal.writer import WriterStatus
from service.sentinel.witness import WitnessStatus
from service.settings import Settings
from service.snapshot.lookout import limits_of
from service.snapshot.supply import Code, Facts, Supply, Warned, supply_of
from service.web.charging import ChargingStatus
from service.web.status import readiness
from tests.unit.control.control_chain import make_key

NOW = dt.datetime(2024, 2, 5, 9, 30, tzinfo=dt.UTC)
LIMITS = limits_of(Settings())
WRITER = {"journal": "j-1", "entries": 0, "batches": 0, "failures": 0, "last_failure": None, "register_failure": None}


def supply(now: dt.datetime, *warnings: Warned) -> Supply:
    return msgspec.structs.replace(supply_of(Facts(), LIMITS, now), warnings=warnings)


def context(**members: Any) -> Any:
    """A rights worker without trouble, but for what is given."""
    sound = {
        "settings": Settings(),
        "clock": SimpleNamespace(now=lambda: NOW),
        "journal": SimpleNamespace(status=WriterStatus(**{**WRITER, "writable": True})),
        "serves_rights": True,
        "knowledge": SimpleNamespace(),
        "refusal": None,
        "settings_error": None,
        "unreadable_records": 0,
        "clock_suspect": False,
        "ledger_status": lambda: LedgerStatus(version=4, source="store"),
        "registry": SimpleNamespace(broken=frozenset(), with_key_ends=()),
        "supply": supply,
        "live": False,
        "upstream": None,
        "charging": None,
        "witness": None,
    }
    return SimpleNamespace(**{**sound, **members})


def writer(**members: Any) -> Any:
    return SimpleNamespace(status=WriterStatus(**{**WRITER, "writable": True, **members}))


def ledger(**members: Any) -> Any:
    return lambda: LedgerStatus(version=4, source="store", **members)


def registry(*ends: dt.datetime) -> Registry:
    """One client, each of whose keys has an end."""
    keys = [{**make_key().public.jwk, "exp": int(end.timestamp())} for end in ends]
    known = Registry()
    known.update({"ph-1": ClientState({"class": "pharmacy", "finess": ["750012346"], "keys": keys}, version=1)})
    return known


def upstream(phase: str, last_error: str | None = None) -> Any:
    known = SimpleNamespace(phase=phase, since=NOW, last_error=last_error)
    return SimpleNamespace(status=lambda: known)


@pytest.mark.parametrize("phase", ["closed", "ramp", "forced"])
def test_an_upstream_that_is_asked_or_cut_off_by_an_order_is_no_trouble(phase: str):
    assert readiness(context(live=True, upstream=upstream(phase))) == []


def test_an_upstream_that_fails_matters_only_where_it_is_to_be_asked():
    failing = upstream("open", "upstream_malformed")
    assert readiness(context(live=False, upstream=failing)) == []
    assert readiness(context(live=True, upstream=None, serves_rights=False)) == []


def test_a_sound_worker_has_no_trouble():
    assert readiness(context()) == []
    assert readiness(context(journal=None, serves_rights=False, knowledge=None)) == []


@pytest.mark.parametrize(
    ("members", "code", "blocking", "detail"),
    [
        ({"live": True}, "upstream_missing", False, "mode live is ordered, and upstream.url is empty"),
        (
            {"live": True, "upstream": upstream("open", "upstream_malformed")},
            "upstream_unavailable",
            False,
            "open since 2024-02-05T09:30:00Z, upstream_malformed",
        ),
        (
            {"live": True, "upstream": upstream("half_open")},
            "upstream_unavailable",
            False,
            "half_open since 2024-02-05T09:30:00Z, slow",
        ),
        (
            {"charging": SimpleNamespace(status=ChargingStatus(NOW, 7, 0))},
            "budget_store",
            False,
            "since 2024-02-05T09:30:00Z; 7 lookups of the outage share lent today",
        ),
        (
            {"registry": registry(NOW + dt.timedelta(days=2))},
            "client_key_ends",
            False,
            "1 key within 3 days, 1 of them a client's last",
        ),
        ({"journal": writer(writable=False, last_failure="OSError")}, "journal_unwritable", True, "OSError"),
        ({"journal": writer(register_failure="ChainBroken")}, "journal_register", False, "ChainBroken"),
        ({"knowledge": None, "refusal": "snapshot 5: …"}, "no_snapshot", True, "snapshot 5: …"),
        ({"refusal": "snapshot 5: …"}, "snapshot_refused", False, "snapshot 5: …"),
        ({"settings_error": "relais.toml: …"}, "settings_refused", False, "relais.toml: …"),
        ({"unreadable_records": 2}, "record_unreadable", False, "2 answers since this worker began"),
        ({"ledger_status": ledger(error="locked")}, "control_store", False, "locked"),
        ({"ledger_status": ledger(copy_error="damaged")}, "orders_copy", False, "damaged"),
        (
            {"registry": SimpleNamespace(broken=frozenset({"a", "b"}), with_key_ends=())},
            "client_unreadable",
            False,
            "2 registrations",
        ),
        (
            {"registry": registry(NOW + dt.timedelta(days=2), NOW + dt.timedelta(days=4), NOW)},
            "client_key_ends",
            False,
            "1 key within 3 days, 0 of them a client's last",
        ),
    ],
)
def test_each_trouble_is_told(members: dict[str, Any], code: str, blocking: bool, detail: str):  # noqa: FBT001
    assert readiness(context(**members)) == [{"code": code, "blocking": blocking, "detail": detail}]


def test_a_warning_about_the_supply_is_told_and_keeps_no_worker_back():
    warned = (Warned(Code.FREEZE, "nothing newer"), Warned(Code.LOAD_REFUSED, "9 guard"))
    assert readiness(context(supply=lambda now: supply(now, *warned))) == [
        {"code": "freeze", "blocking": False, "detail": "nothing newer"},
        {"code": "load_refused", "blocking": False, "detail": "9 guard"},
    ]


def witness(seat: Seat | None = None, down_since: dt.datetime | None = None, seconds: float = 60) -> Any:
    began = NOW - dt.timedelta(seconds=seconds)
    return SimpleNamespace(status=WitnessStatus(began, down_since, 7, 2, seat))


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (witness(Seat(NOW, None)), None),
        (witness(Seat(NOW, "12 suspects")), ("sentinel_alarm", "12 suspects")),
        (witness(None, seconds=3), None),
        (witness(Seat(NOW - dt.timedelta(hours=5), None), seconds=3), None),
        (witness(None), ("sentinel_silent", "nobody has judged since 2024-02-05T09:29:00Z")),
        (
            witness(Seat(NOW - dt.timedelta(seconds=30), None)),
            ("sentinel_silent", "nobody has judged since 2024-02-05T09:29:30Z"),
        ),
        (witness(Seat(NOW, None), NOW), ("sentinel_silent", "marks wait since 2024-02-05T09:30:00Z: 7, 2 lost")),
    ],
)
def test_nobody_who_watches_is_told_and_so_are_too_many_suspects(known: Any, expected: tuple[str, str] | None):
    told = [(reason["code"], reason["detail"]) for reason in readiness(context(witness=known))]
    assert told == ([] if expected is None else [expected])
    assert not any(reason["blocking"] for reason in readiness(context(witness=known)))
