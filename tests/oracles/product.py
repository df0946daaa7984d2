"""A world of tests.oracles.worlds in the product's own types. The only place where the oracle's side knows them."""

from __future__ import annotations

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

from service.rights import model

Json = dict[str, Any]
PARIS = ZoneInfo("Europe/Paris")


def day_of(iso: str | None) -> dt.date | None:
    return None if iso is None else dt.date.fromisoformat(iso)


def as_contract(row: Json) -> model.Contract:
    dated = {key: day_of(row[key]) for key in ("valid_from", "valid_to", "card_valid_to", "closed_on")}
    suspensions = tuple(
        model.Suspension(dt.date.fromisoformat(since), day_of(until)) for since, until in row["suspended"]
    )
    return model.Contract(**(row | dated | {"suspended": suspensions, "domains": tuple(row["domains"])}))


def as_amc(number: str, known: Json) -> model.Amc:
    rules, made = dict(known["stand_in"]), dt.datetime.fromisoformat(known["extracted_at"])
    granted = rules.pop("guarantee")
    if granted is not None:
        granted = model.Guarantee(**(granted | {"until": day_of(granted["until"])}))
    rules["on_unknown"] = model.OnUnknown(rules["on_unknown"])
    stand_in = model.StandIn(**rules, guarantee=granted)
    return model.Amc(number, known["name"], made, made.astimezone(PARIS).date(), stand_in)


def as_knowledge(known: Json) -> model.Knowledge:
    return model.Knowledge(
        kind=model.SourceKind(known["kind"]),
        snapshot=known["snapshot"],
        signed_at=dt.datetime.fromisoformat(known["signed_at"]),
        valid_until=dt.datetime.fromisoformat(known["valid_until"]),
        amcs={number: as_amc(number, amc) for number, amc in known["amcs"].items()},
        out_of_scope=frozenset(known["out_of_scope"]),
    )


Product = tuple[tuple[model.Contract, ...] | model.Absence, model.Query, model.Knowledge, model.Stance, dt.datetime]


def as_product(world: Json) -> Product:
    """(record, query, knowledge, stance, now) as service.rights takes them."""
    asked, outlook, record = world["query"], world["stance"], world["record"]
    return (
        model.Absence(record) if isinstance(record, str) else tuple(as_contract(row) for row in record),
        model.Query(**(asked | {"service_date": day_of(asked["service_date"]), "benefits": tuple(asked["benefits"])})),
        as_knowledge(world["knowledge"]),
        model.Stance(**(outlook | {"mode": model.Mode(outlook["mode"]), "excluded": frozenset(outlook["excluded"])})),
        dt.datetime.fromisoformat(world["now"]),
    )
