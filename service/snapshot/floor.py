"""The floor this node remembers by itself: a lost or rewound control store cannot bring an old snapshot back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from service.errors import SnapshotRefused
from service.files import write_durable
from service.snapshot.guard import Floor, higher_floor
from service.snapshot.steps import Step
from service.strictjson import canonical

#: Its name among what a node remembers (`<home>/node`).
FLOOR_FILE: Final = "floor.json"


def load_floor(path: Path) -> Floor | None:
    """The floor at `path`; None where this node never activated anything.

    A floor that is there but cannot be read raises `SnapshotRefused`: to forget it would allow a rollback.
    """
    try:
        return parse_floor(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unreadable(error.strerror or "an error of the disk") from error


def raise_floor(path: Path, floor: Floor) -> Floor:
    """Remember `floor` unless a higher one is remembered already; the one that now holds.

    Raises `SnapshotRefused` where the two disagree about one sequence.
    """
    known = load_floor(path)
    higher = higher_floor(known, floor) or floor
    if higher != known:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_durable(path, encode_floor(higher))
    return higher


def encode_floor(floor: Floor) -> bytes:
    """The floor as RFC 8785 JSON."""
    return canonical(msgspec.to_builtins(floor))


def parse_floor(data: bytes) -> Floor:
    """The floor in JSON bytes. Raises `SnapshotRefused`."""
    try:
        return msgspec.json.decode(data, type=Floor)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _unreadable("damaged") from error


def counts_of(floor: Floor) -> dict[str, Any]:
    """What an activation order keeps of a floor beside sequence and digest: AMC number → its counts and policy."""
    entries: list[dict[str, Any]] = msgspec.to_builtins(floor.amcs)
    return {entry.pop("amc"): entry for entry in entries}


def floor_of_order(sequence: int, digest: str, counts: Mapping[str, Any]) -> Floor:
    """The floor an activation order left in the control store. Raises `SnapshotRefused`."""
    try:
        amcs = [{**entry, "amc": amc} for amc, entry in counts.items()]
        return msgspec.convert({"sequence": sequence, "digest": digest, "amcs": amcs}, Floor)
    except (msgspec.ValidationError, TypeError) as error:
        raise _unreadable("counts of another form") from error


def _unreadable(found: str) -> SnapshotRefused:
    return SnapshotRefused(Step.SEQUENCE, "the floor of the highest snapshot activated to be readable", found)
