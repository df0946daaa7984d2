"""`relais snapshot build|attest`: what makes a snapshot's folder, to be signed and loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from service.cli.common import DEFAULT_HOME, HomeOption, JsonOption, open_home, print_json
from service.cli.progress import Meter
from service.clock import SystemClock
from service.snapshot import attest as attesting
from service.snapshot.build import build_snapshot
from service.snapshot.dialects import Encoding
from service.snapshot.manifest import Manifest
from service.snapshot.pepper import load_peppers
from service.snapshot.plan import DEFAULT_REJECT_SHARE, BuildPlan, Built
from service.snapshot.target import DEFAULT_VALID_DAYS

PolicyOption = Annotated[Path, Parameter(help="The AMCs, their extracts and what they allow (TOML).")]
SequenceOption = Annotated[int, Parameter(help="Its number, above every one published before.")]
OutOption = Annotated[Path, Parameter(help="The folder to make; it must not exist.")]
ValidForOption = Annotated[int, Parameter(help="Days it may be served, at most 45.")]


def build(  # noqa: PLR0913 - a command's options are its parameters
    *,
    source: Annotated[list[Path], Parameter(consume_multiple=True, negative="", help="Row files, NDJSON or CSV.")],
    policy: PolicyOption,
    sequence: SequenceOption,
    out: OutOption,
    base: Annotated[Path | None, Parameter(help="The folder of a base: build what differs from it, a delta.")] = None,
    valid_for: ValidForOption = DEFAULT_VALID_DAYS,
    no_member_entries: Annotated[
        bool, Parameter(negative="", show_default=False, help="Leave out look-up by member number.")
    ] = False,
    canaries: Annotated[Path | None, Parameter(help="Rows of people whom nobody has reason to ask for.")] = None,
    max_reject_share: Annotated[
        float, Parameter(help="Share of bad rows above which the build aborts.")
    ] = DEFAULT_REJECT_SHARE,
    source_encoding: Annotated[
        Encoding, Parameter(help="How CSV sources are encoded; NDJSON is always UTF-8.")
    ] = "utf-8",
    jobs: Annotated[int | None, Parameter(help="Worker processes; 1 works without. Default: one a core.")] = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """Build an unsigned snapshot from source rows, sealed under the home's pepper.

    The sources are the whole delivery, with --base too: what the base holds and they do not is declared gone.
    """
    place, settings = open_home(home)
    peppers = load_peppers(place.path(settings.keys.pepper))
    kid, pepper = next(iter(peppers.items()))
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
        base=base,
        peppers=peppers,
        source_encoding=source_encoding,
        jobs=jobs,
    )
    with Meter() as meter:
        built = build_snapshot(plan, SystemClock().now(), meter.report)
    if json:
        print_json(_members(out, built))
        return
    _print(out, built)


def attest(
    *,
    base: Annotated[Path, Parameter(help="The folder of the base whose data go on serving.")],
    policy: PolicyOption,
    sequence: SequenceOption,
    out: OutOption,
    valid_for: ValidForOption = DEFAULT_VALID_DAYS,
    json: JsonOption = False,
) -> None:
    """Renew dates and policy over a base's data: an unsigned empty delta. Needs neither rows nor a home.

    The policy file must name the base's AMCs, all of them and no other.
    """
    with Meter() as meter:
        manifest = attesting.attest(
            base,
            policy,
            sequence,
            out,
            SystemClock().now(),
            valid_for_days=valid_for,
            progress=meter.stage("base"),
        )
    if json:
        print_json({"out": str(out), "manifest": msgspec.to_builtins(manifest)})
        return
    _print_made(out, manifest)
    if manifest.base is not None:
        until = f"{manifest.valid_until:%Y-%m-%d %H:%M} UTC"
        print(f"empty delta over base {manifest.base.sequence}: its data, valid until {until}")


def _members(out: Path, built: Built) -> dict[str, Any]:
    return {
        "out": str(out),
        "rows": built.rows,
        "rows_per_second": round(built.rows_per_second),
        "seconds": built.seconds,
        "peak_rss_bytes": built.peak_rss_bytes,
        "rejects": str(built.rejects) if built.rejects else None,
        "changes": msgspec.to_builtins(built.changes),
        "manifest": msgspec.to_builtins(built.manifest),
    }


def _print_made(out: Path, manifest: Manifest) -> None:
    counts, what = manifest.counts, f"snapshot {manifest.sequence} in {out}"
    print(f"{what}: {counts.people} people, {counts.contracts} contracts, not signed yet")


def _print(out: Path, built: Built) -> None:
    manifest, counts, changes = built.manifest, built.manifest.counts, built.changes
    _print_made(out, manifest)
    if manifest.base is not None and changes is not None:
        found = f"{changes.changed} entries new or changed, {changes.gone} gone"
        print(f"delta over base {manifest.base.sequence}: {found}")
    print(f"{counts.rejected} rows rejected{f' ({built.rejects})' if built.rejects else ''}, {counts.dropped} dropped")
    seconds = ", ".join(f"{stage} {taken:.1f} s" for stage, taken in built.seconds.items())
    memory = built.peak_rss_bytes / 1e6
    print(f"{built.rows} rows, {built.rows_per_second:.0f} a second ({seconds}), at most {memory:.0f} MB of memory")
