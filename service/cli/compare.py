"""`relais snapshot diff`: two snapshots side by side, for people in a table and for machines as JSON."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from cyclopts import Parameter

from service.cli.common import DEFAULT_HOME, HomeOption, JsonOption, print_json
from service.cli.signing import trust_if_any
from service.settings import Home
from service.snapshot.catalog import Catalog
from service.snapshot.compare import AmcComparison, Comparison, Side, compare, percent
from service.snapshot.guard import floor_of, open_share
from service.snapshot.signing import read_draft
from service.snapshot.trust import Trust

#: The counts that are compared, in the order of the table.
COUNTS: Final = ("people", "contracts", "open", "closed", "suspended")
_SideArgument = Annotated[str, Parameter(help="A sequence the home holds, or the folder of a snapshot.")]


def diff(
    before: _SideArgument, after: _SideArgument, /, *, home: HomeOption = DEFAULT_HOME, json: JsonOption = False
) -> None:
    """Compare two snapshots by their manifests: counts, extracts and policies by AMC, and what the guard would say.

    Shows; does not verify, save for the signatures, by the home's trust file where there is one. Needs no home for
    two folders, so that signers can look before they sign.
    """
    trust = trust_if_any(home)
    former, following = (read_side(place_of(name, home), trust) for name in (before, after))
    comparison = compare(former, following, floor_of(former.manifest, former.digest))
    if json:
        print_json(comparison_members(comparison))
        return
    print("\n".join((*comparison_lines(comparison), *verdict_lines(comparison))))


def place_of(name: str, home: Path) -> Path:
    """Where a side lies: digits name a sequence of the home (`./5` a folder). Raises `OperatorError`."""
    if name.isascii() and name.isdigit():
        return Catalog.of(Home(home.absolute())).folder(int(name))
    return Path(name)


def read_side(directory: Path, trust: Trust | None) -> Side:
    """What a folder's manifest says, and whose signatures on it hold. Raises `SnapshotRefused`."""
    draft = read_draft(directory)
    signers = None if trust is None else tuple(sorted(draft.signers(trust)))
    return Side(draft.manifest, draft.digest, signers)


def comparison_members(comparison: Comparison) -> dict[str, Any]:
    """The comparison as one JSON object (docs/trust_format.md)."""
    before, after = comparison.before, comparison.after
    return {
        "before": None if before is None else _side_members(before),
        "after": _side_members(after),
        "totals": {
            name: _change(None if before is None else getattr(before.manifest.counts, name), value)
            for name, value in msgspec.structs.asdict(after.manifest.counts).items()
        },
        "added": list(comparison.added),
        "vanished": list(comparison.vanished),
        "amcs": [_amc_members(amc) for amc in comparison.amcs],
        "rollback": None if comparison.rollback is None else msgspec.to_builtins(comparison.rollback),
        "findings": msgspec.to_builtins(comparison.findings),
    }


def comparison_lines(comparison: Comparison) -> Iterator[str]:
    """The comparison as a table of lines."""
    before, after = comparison.before, comparison.after
    former = None if before is None else before.manifest
    first = "none" if former is None else str(former.sequence)
    yield _row(f"snapshot {first} → {after.manifest.sequence}", "before", "after", "change")
    yield _row("  kind", "-" if former is None else former.kind, after.manifest.kind)
    for name in ("created_at", "valid_until"):
        instants = ("-" if former is None else _time(getattr(former, name)), _time(getattr(after.manifest, name)))
        yield _row(f"  {name}, UTC", *instants)
    for name in ("people", "contracts", "entries", "rejected", "dropped"):
        yield _count_row(name, None if former is None else getattr(former.counts, name), _count(after, name))
    yield f"  signed by {'-' if before is None else _signed(before)} → {_signed(after)}"
    for amc in comparison.amcs:
        yield from _amc_lines(amc)


def verdict_lines(comparison: Comparison) -> Iterator[str]:
    """What would keep the following one from being loaded, line by line."""
    if comparison.rollback is not None:
        yield f"would be {comparison.rollback}"
    for finding in comparison.findings:
        yield f"finding: {finding}"
    if not comparison.findings:
        yield "the guard finds nothing"


def _amc_lines(amc: AmcComparison) -> Iterator[str]:
    before, after = amc.before, amc.after
    state = "added" if before is None else "vanished" if after is None else ""
    names = [_printable(entry.name) for entry in (after, before) if entry is not None]
    yield _row(f"AMC {amc.amc} {names[0][:32]}", "", "", state)
    if len({*names}) > 1:
        yield f"  was named {names[1]}"
    for name in COUNTS:
        yield _count_row(name, *(None if entry is None else getattr(entry, name) for entry in amc.sides))
    shares = [None if entry is None else open_share(entry) for entry in amc.sides]
    known = [share for share in shares if share is not None]
    moved = f"{known[1] - known[0]:+.1f} points" if len(known) > 1 else ""
    yield _row("  open share", *_texts([None if share is None else f"{share:.1f} %" for share in shares]), moved)
    yield _row("  extracted_at, UTC", *_texts([None if one is None else _time(one.extracted_at) for one in amc.sides]))
    for change in amc.policy:
        yield f"  policy {change.effect}: {change.member} {change.before} → {change.after}"


def _side_members(side: Side) -> dict[str, Any]:
    manifest = msgspec.to_builtins(side.manifest)
    members = {name: manifest[name] for name in ("sequence", "kind", "created_at", "valid_until", "base")}
    return {**members, "digest": side.digest, "signers": None if side.signers is None else list(side.signers)}


def _amc_members(amc: AmcComparison) -> dict[str, Any]:
    sides = [None if entry is None else msgspec.to_builtins(entry) for entry in amc.sides]
    pairs = {
        name: [None if side is None else side[name] for side in sides] for name in ("name", "extracted_at", *COUNTS)
    }
    return {
        "amc": amc.amc,
        **{name: {"before": pair[0], "after": pair[1]} for name, pair in pairs.items() if name not in COUNTS},
        **{name: _change(*pairs[name]) for name in COUNTS},
        "policy": msgspec.to_builtins(amc.policy),
    }


def _change(before: int | None, after: int | None) -> dict[str, Any]:
    known = before is not None and after is not None
    return {"before": before, "after": after, "percent": percent(before or 0, after or 0) if known else None}


def _count_row(name: str, before: int | None, after: int | None) -> str:
    change = percent(before, after) if before is not None and after is not None else None
    texts = _texts([None if count is None else str(count) for count in (before, after)])
    return _row(f"  {name}", *texts, "" if change is None else f"{change:+.1f} %")


def _texts(sides: Sequence[str | None]) -> tuple[str, str]:
    before, after = ("-" if side is None else side for side in sides)
    return before, after


def _row(what: str, before: str, after: str, change: str = "") -> str:
    return f"{what:<49} {before:>16}  {after:>16}  {change}".rstrip()


def _time(instant: dt.datetime) -> str:
    return f"{instant.astimezone(dt.UTC):%Y-%m-%d %H:%M}"


def _signed(side: Side) -> str:
    if side.signers is None:
        return "unknown here, no trust file"
    return ", ".join(side.signers) or "nobody this home knows"


def _count(side: Side, name: str) -> int:
    count: int = getattr(side.manifest.counts, name)
    return count


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)
