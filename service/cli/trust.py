"""`relais trust`: who may sign snapshots, and how many of them it takes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from service.cli import ceremony, rotation
from service.cli.ceremony import PeopleOption, RootKeysOption, parse_person
from service.cli.common import DEFAULT_HOME, HomeOption, JsonOption, open_home, print_json
from service.cli.signing import warn
from service.cli.trustview import View, is_demo, view_of
from service.clock import SystemClock
from service.errors import OperatorError, TrustError
from service.files import write_durable
from service.jwk import PublicKey
from service.keyfiles import load_private, load_public
from service.settings import Home
from service.snapshot.trust import RoleName, verify_successor, verify_trust
from service.snapshot.trustfile import draft_trust, new_trust, read_trust, role_of
from service.snapshot.truststore import TrustStore

app = App(name="trust")
app.command(ceremony.sign, name="sign")
app.command(rotation.rotate, name="rotate")


@app.command(name="new")
def new(
    *,
    root: PeopleOption,
    root_threshold: Annotated[int, Parameter(help="How many of them must sign the next trust file.")],
    snapshot: PeopleOption,
    snapshot_threshold: Annotated[int, Parameter(help="How many of them must sign a snapshot.")],
    sign: RootKeysOption = None,
    expires_days: ceremony.ExpiresOption = ceremony.DEFAULT_DAYS,
    out: Annotated[
        Path | None, Parameter(help="A new file, which may lack signatures still. Default: trust.json of the home.")
    ] = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Make version 1 of the trust file. Never overwrites one.

    With the keys of enough root people here (--sign), it is signed at once and put into the home. With --out it may
    lack signatures: each root person adds theirs with `relais trust sign`, then `relais trust rotate FILE` installs it.
    """
    roles = {
        RoleName.ROOT: role_of(_people(root), root_threshold),
        RoleName.SNAPSHOT: role_of(_people(snapshot), snapshot_threshold),
    }
    signers, now, demo = [load_private(path) for path in sign or ()], SystemClock().now(), is_demo(home)
    if out is None:
        place = Home(home)
        if os.path.lexists(place.trust):
            raise OperatorError(f"{place.trust} exists: a trust file is succeeded by its next version, not replaced")
        document = new_trust(roles, signers, now, expires_days=expires_days, demo=demo)
        TrustStore.of(place, demo=demo).install_first(document, now)
        print(f"trust version 1 in {place.trust}")
        return
    ceremony.check_absent(out)
    write_durable(out, draft_trust(roles, signers, now, expires_days=expires_days, demo=demo))
    ceremony.tell(out, home)


@app.command(name="show")
def show(
    file: Annotated[Path | None, Parameter(help="Default: trust.json of the home.")] = None,
    *,
    before: ceremony.FromOption = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """Verify a trust file and show its people, keys, end, and who signed; exit status 1 if it does not hold (yet)."""
    path = file or Home(home).trust
    try:
        view = view_of(read_trust(path), before, home)
        standings = view.lines()
    except TrustError as error:
        raise OperatorError(f"{path}: {error}") from error
    problem, former = _verify(view, home) if file is None else (_verify_file(view, home), None)
    if json:
        print_json({**view.members(), "valid": problem is None, "problem": problem, "former": former})
    else:
        print("\n".join(standings))
        if former:
            print(f"follows from the versions kept beside it: {', '.join(map(str, former))}")
    if view.warning is not None:
        warn(view.warning)
    if problem is not None:
        raise OperatorError(f"{path}: {problem}")


def _verify(view: View, home: Path) -> tuple[str | None, list[int]]:
    """What is wrong with the home's trust file, if anything, and which former versions lead to it."""
    store = TrustStore.of(open_home(home)[0], demo=is_demo(home))
    try:
        store.load(view.now)
    except TrustError as error:
        return str(error), []
    try:
        return None, [trust.version for trust in store.former()]
    except TrustError as error:
        return f"it holds, and a former version kept beside it does not lead to it: {error}", []


def _verify_file(view: View, home: Path) -> str | None:
    demo = is_demo(home)
    try:
        if view.former is not None:
            verify_successor(view.former, view.document, demo=demo)
        verify_trust(view.document, view.now, demo=demo)
    except TrustError as error:
        return str(error)
    return None


def _people(arguments: list[str]) -> list[tuple[str, PublicKey]]:
    return [(name, load_public(Path(path))) for name, path in map(parse_person, arguments)]
