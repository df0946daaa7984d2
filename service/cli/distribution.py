"""`relais snapshot publish|sync`: snapshots to and from a depot, a folder or an S3-compatible bucket."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Annotated, Final, Literal

from cyclopts import Parameter

from service.cli.common import DEFAULT_HOME, HomeOption, JsonOption, open_home, print_json
from service.cli.exits import Exit
from service.cli.progress import Meter
from service.cli.pulling import Puller
from service.cli.syncing import run_loop
from service.clock import SystemClock
from service.errors import OperatorError
from service.settings import Home, Settings, SyncSettings
from service.snapshot.depot import open_depot, parse_address
from service.snapshot.publish import Publication
from service.snapshot.publish import publish as publish_snapshot
from service.snapshot.trust import Trust
from service.snapshot.trustfile import load_trust

_EVERY: Final = re.compile(r"([0-9]{1,6})([smh])", re.ASCII)
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600}


def publish(
    directory: Annotated[Path, Parameter(help="The folder of a signed snapshot.")],
    url: Annotated[str, Parameter(help="Where to: s3://BUCKET/PREFIX, file:///FOLDER or a folder that exists.")],
    /,
    *,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """Publish a signed snapshot and let `latest` point to it. What is published is never replaced.

    In a home with a trust file the signatures must reach the threshold. Publishing the same again changes nothing;
    interrupted, it can be repeated.
    """
    settings = SyncSettings()
    trust = None
    if Home(home).settings.exists():
        place, all_settings = open_home(home)
        settings, trust = all_settings.sync, _trust(place, all_settings)
    depot = open_depot(parse_address(url), settings)
    with Meter() as meter:
        done = publish_snapshot(directory, depot, trust, SystemClock().now(), meter.stage("publish"))
    _say(done, depot.source, json=json)


def sync(
    url: Annotated[str | None, Parameter(help="Where from, as for publish; default: sync.url of the settings.")] = None,
    /,
    *,
    every: Annotated[str | None, Parameter(help="How often: 60s, 5m, 1h; default: sync.every_seconds.")] = None,
    activate: Annotated[
        Literal["auto", "manual"] | None,
        Parameter(help="What becomes of a verified snapshot: serve it, or hold it until somebody activates it."),
    ] = None,
    once: Annotated[bool, Parameter(negative="", show_default=False, help="Look once and end.")] = False,
    home: HomeOption = DEFAULT_HOME,
) -> int:
    """Pull what is published, verify it and serve it: beside the servers, until SIGTERM.

    Each look is noted in HOME/node/sync.json. Whatever the depot does, what serves goes on serving, and the next look
    starts anew; a download goes on where it was cut.
    """
    place, settings = open_home(home)
    source = url or settings.sync.url
    if not source:
        raise OperatorError("say where from: a URL, or sync.url in relais.toml")
    seconds = settings.sync.every_seconds if every is None else _seconds(every)
    automatic = (activate or settings.sync.activate) == "auto"
    depot = open_depot(parse_address(source), settings.sync)
    return run_loop(Puller(place, settings, depot, automatic=automatic), None if once else seconds)


def _say(done: Publication, source: str, *, json: bool) -> int:
    pointer = done.pointer
    signers = None if done.signers is None else sorted(done.signers)
    if json:
        members = {"sequence": pointer.sequence, "digest": pointer.digest, "path": pointer.path}
        print_json({**members, "source": source, "signers": signers, "changed": done.changed})
        return Exit.DONE
    if signers is None:
        print("relais: warning: whether its signatures are enough is not known here: no trust file", file=sys.stderr)
    outcome = "published" if done.changed else "is published already: no change"
    by = "" if signers is None else f", signed by {', '.join(signers)}"
    print(f"snapshot {pointer.sequence} {outcome}: {source} {pointer.path}{by}")
    return Exit.DONE


def _trust(place: Home, settings: Settings) -> Trust | None:
    """The home's trust file; a builder's home need not have one. One that is there must be good."""
    if not place.trust.exists():
        return None
    return load_trust(place.trust, SystemClock().now(), demo=settings.instance.demo)


def _seconds(text: str) -> float:
    match = _EVERY.fullmatch(text)
    if match is None or not int(match[1]):
        raise OperatorError("--every takes a duration such as 60s, 5m or 1h")
    return float(int(match[1]) * _SECONDS[match[2]])
