"""`relais trust`: who may sign snapshots, and how many of them it takes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from service.cli.common import DEFAULT_HOME, HomeOption, JsonOption, print_json
from service.clock import SystemClock
from service.errors import OperatorError, TrustError
from service.files import write_durable
from service.jwk import PublicKey
from service.keyfiles import load_private, load_public
from service.settings import Home, load_settings
from service.snapshot.trust import RoleName, Trust, verify_trust
from service.snapshot.trustfile import new_trust, read_trust, role_of

app = App(name="trust")
PeopleOption = Annotated[
    list[str], Parameter(consume_multiple=True, negative="", help="A person and their public key, NAME=FILE; repeated.")
]


@app.command(name="new")
def new(
    *,
    root: PeopleOption,
    root_threshold: Annotated[int, Parameter(help="How many of them must sign the next trust file.")],
    snapshot: PeopleOption,
    snapshot_threshold: Annotated[int, Parameter(help="How many of them must sign a snapshot.")],
    sign: Annotated[
        list[Path],
        Parameter(consume_multiple=True, negative="", help="Private keys of root people, as many as their threshold."),
    ],
    expires: Annotated[int, Parameter(help="Days until the file must be renewed.")] = 365,
    out: Annotated[Path | None, Parameter(help="Default: trust.json of the home.")] = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Make version 1 of the trust file, signed by the root threshold. Never overwrites one."""
    target = out or Home(home).trust
    if os.path.lexists(target):
        raise OperatorError(f"{target} exists: a trust file is succeeded by its next version, not replaced")
    roles = {
        RoleName.ROOT: role_of(_people(root), root_threshold),
        RoleName.SNAPSHOT: role_of(_people(snapshot), snapshot_threshold),
    }
    signers = [load_private(path) for path in sign]
    document = new_trust(roles, signers, SystemClock().now(), expires_days=expires, demo=_is_demo(home))
    write_durable(target, document)
    print(f"trust version 1 in {target}")


@app.command(name="show")
def show(
    file: Annotated[Path | None, Parameter(help="Default: trust.json of the home.")] = None,
    *,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """Verify a trust file and show its people, keys and end."""
    path = file or Home(home).trust
    document = read_trust(path)
    try:
        trust = verify_trust(document, SystemClock().now(), demo=_is_demo(home))
    except TrustError as error:
        raise OperatorError(f"{path}: {error}") from error
    if json:
        print_json(_members(trust))
        return
    print(f"trust version {trust.version}, expires {trust.expires_at:%Y-%m-%d}, digest {trust.digest}")
    for name, role in trust.roles.items():
        print(f"{name}: {role.threshold} of {len(role.signers)}")
        for signer in role.signers:
            print(f"  {signer.name}: {', '.join(key.kid for key in signer.keys)}")


def _people(arguments: list[str]) -> list[tuple[str, PublicKey]]:
    people = []
    for argument in arguments:
        name, equals, path = argument.partition("=")
        if not (name and equals and path):
            raise OperatorError("a person is given as NAME=FILE")
        people.append((name, load_public(Path(path))))
    return people


def _is_demo(home: Path) -> bool:
    """Thresholds of one are for a demo home only; without a home the strict rule holds."""
    place = Home(home)
    return place.settings.exists() and load_settings(place, os.environ).instance.demo


def _members(trust: Trust) -> dict[str, Any]:
    return {
        "version": trust.version,
        "expires_at": f"{trust.expires_at:%Y-%m-%dT%H:%M:%SZ}",
        "digest": trust.digest,
        "roles": {
            name.value: {
                "threshold": role.threshold,
                "signers": [{"name": one.name, "keys": [key.kid for key in one.keys]} for one in role.signers],
            }
            for name, role in trust.roles.items()
        },
    }
