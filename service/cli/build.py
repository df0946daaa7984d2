"""`relais snapshot build`: source rows to an unsigned snapshot."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from service.cli.common import DEFAULT_HOME, HomeOption, JsonOption, open_home, print_json
from service.cli.progress import Meter
from service.clock import SystemClock
from service.errors import OperatorError
from service.settings import Home, Settings
from service.snapshot.build import build_snapshot
from service.snapshot.pepper import load_peppers
from service.snapshot.plan import DEFAULT_REJECT_SHARE, BuildPlan
from service.snapshot.publish import DEFAULT_VALID_DAYS


def build(  # noqa: PLR0913 - a command's options are its parameters
    *,
    source: Annotated[list[Path], Parameter(consume_multiple=True, negative="", help="Row files, NDJSON or CSV.")],
    policy: Annotated[Path, Parameter(help="The AMCs, their extracts and what they allow (TOML).")],
    sequence: Annotated[int, Parameter(help="Its number, above every one published before.")],
    out: Annotated[Path, Parameter(help="The folder to make; it must not exist.")],
    base: Annotated[Path | None, Parameter(help="The base of a delta; this version builds bases only.")] = None,
    valid_for: Annotated[int, Parameter(help="Days it may be served, at most 45.")] = DEFAULT_VALID_DAYS,
    no_member_entries: Annotated[
        bool, Parameter(negative="", show_default=False, help="Leave out look-up by member number.")
    ] = False,
    canaries: Annotated[Path | None, Parameter(help="Rows of people whom nobody has reason to ask for.")] = None,
    max_reject_share: Annotated[
        float, Parameter(help="Share of bad rows above which the build aborts.")
    ] = DEFAULT_REJECT_SHARE,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """Build an unsigned snapshot from source rows, sealed under the home's pepper."""
    if base is not None:
        raise OperatorError("deltas are not built by this version: leave --base out to build a base")
    kid, pepper = next(iter(_peppers(*open_home(home)).items()))
    plan = BuildPlan(
        sources=tuple(source),
        policy=policy,
        out=out,
        sequence=sequence,
        pepper_kid=kid,
        pepper=pepper,
        valid_for_days=valid_for,
        member_entries=not no_member_entries,
        canaries=canaries,
        max_reject_share=max_reject_share,
    )
    with Meter() as meter:
        built = build_snapshot(plan, SystemClock().now(), meter.report)
    counts = built.manifest.counts
    if json:
        rejects = str(built.rejects) if built.rejects else None
        manifest = msgspec.to_builtins(built.manifest)
        print_json({"out": str(out), "rows": built.rows, "rejects": rejects, "manifest": manifest})
        return
    print(f"snapshot {sequence} in {out}: {counts.people} people, {counts.contracts} contracts, not signed yet")
    print(f"{counts.rejected} rows rejected{f' ({built.rejects})' if built.rejects else ''}, {counts.dropped} dropped")


def _peppers(home: Home, settings: Settings) -> dict[str, bytes]:
    return load_peppers(home.path(settings.keys.pepper))
