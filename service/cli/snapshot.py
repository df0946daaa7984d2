"""`relais snapshot`: build, sign, verify and look at snapshots."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from cyclopts import App, Parameter

from service.aside import aside
from service.cli import activation, admission, build, compare, distribution, holdings, signing
from service.cli.common import DEFAULT_HOME, HomeOption, JsonOption, open_home, print_json
from service.cli.progress import Meter
from service.cli.signing import DirectoryArgument, trust_if_any
from service.control.state import State
from service.snapshot.manifest import Manifest
from service.snapshot.signing import Draft, read_draft
from service.snapshot.verify import Examination

app = App(name="snapshot")
app.command(build.build, name="build")
app.command(build.attest, name="attest")
app.command(distribution.publish, name="publish")
app.command(activation.load, name="load")
app.command(activation.activate, name="activate")
app.command(compare.diff, name="diff")
app.command(holdings.pin, name="pin")
app.command(holdings.unpin, name="unpin")
app.command(holdings.list_, name="list")
app.command(holdings.prune, name="prune")
app.command(holdings.hold, name="hold")
app.command(signing.sign, name="sign")
app.command(distribution.sync, name="sync")


@app.command(name="verify")
def verify(
    directory: DirectoryArgument,
    /,
    *,
    accept: Annotated[str | None, Parameter(help="Why the guard's findings are right this time.")] = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """Take a snapshot through every step a load takes, and change nothing."""
    place, settings = open_home(home)
    # A builder's home may hold a trust file and a pepper, and no orders: then only this node's floor is known.
    state = admission.current_state(place, settings) if place.orders.exists() else State()
    examination = Examination(admission.conditions(place, settings, state, accept))
    with Meter() as meter:
        manifest = aside(lambda progress: examination.run(directory, progress), meter.stage("verify"))
    findings = [str(finding) for finding in examination.findings]
    if json:
        print_json(
            {
                "valid": True,
                "sequence": manifest.sequence,
                "digest": examination.digest,
                "signers": sorted(examination.signers),
                "first_load": examination.first_load,
                "accepted": findings,
                "manifest": _members(manifest),
            }
        )
        return
    print(f"snapshot {manifest.sequence} verified: signed by {', '.join(sorted(examination.signers))}")
    print(f"digest {examination.digest}, valid until {manifest.valid_until:%Y-%m-%d %H:%M} UTC")
    if examination.first_load:
        print("this installation never activated a snapshot: there was no floor to compare with")
    for finding in findings:
        print(f"accepted: {finding}")


@app.command(name="inspect")
def inspect(directory: DirectoryArgument, /, *, home: HomeOption = DEFAULT_HOME, json: JsonOption = False) -> None:
    """Show what a manifest says and who signed it. Shows; does not verify."""
    draft = read_draft(directory)
    trust = trust_if_any(home)
    signers = sorted(draft.signers(trust)) if trust else None
    if json:
        print_json(
            {"verified": False, "digest": draft.digest, "signers": signers, "manifest": _members(draft.manifest)}
        )
        return
    _print_draft(draft, signers)


def _print_draft(draft: Draft, signers: list[str] | None) -> None:
    manifest, counts = draft.manifest, draft.manifest.counts
    signed = "unknown here, no trust file" if signers is None else ", ".join(signers) or "nobody this home knows"
    print(f"snapshot {manifest.sequence} ({manifest.kind}), not verified; signed by: {signed}")
    print(f"digest {draft.digest}")
    print(f"created {manifest.created_at:%Y-%m-%d %H:%M} UTC, valid until {manifest.valid_until:%Y-%m-%d %H:%M} UTC")
    print(
        f"pepper {manifest.pepper_kid}; {counts.entries} entries, {counts.people} people, {counts.contracts} contracts"
    )
    print(f"{counts.rejected} rows rejected, {counts.dropped} dropped")
    for amc in manifest.amcs:
        stand_in = "stands in" if amc.stand_in.allowed else "no stand-in"
        print(f"  {amc.amc} {amc.name}: extracted {amc.extracted_at:%Y-%m-%d %H:%M} UTC, {amc.people} people,")
        print(f"    {amc.open} open, {amc.closed} closed, {amc.suspended} suspended; {stand_in}")


def _members(manifest: Manifest) -> Any:
    return msgspec.to_builtins(manifest)
