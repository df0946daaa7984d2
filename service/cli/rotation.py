"""`relais trust rotate`: the draft of the next version of the trust file, and its installation once it is signed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from msgspec.structs import replace

from service.cli.admission import current_state
from service.cli.ceremony import (
    DEFAULT_DAYS,
    ExpiresOption,
    FromOption,
    RootKeysOption,
    check_absent,
    parse_person,
    tell,
)
from service.cli.common import DEFAULT_HOME, HomeOption, JsonOption, open_home, print_json
from service.cli.signing import warn
from service.cli.trustview import is_demo, named
from service.clock import SystemClock
from service.control.state import State
from service.errors import OperatorError, SnapshotRefused, TrustError
from service.files import write_durable
from service.keyfiles import load_private, load_public
from service.settings import Home, Settings
from service.snapshot.catalog import Catalog
from service.snapshot.signing import falling, read_draft
from service.snapshot.succession import with_key, without_key, without_person
from service.snapshot.trust import Role, RoleName, Trust
from service.snapshot.trustfile import draft_trust, read_trust
from service.snapshot.truststore import TrustStore

AddOption = Annotated[
    list[str] | None,
    Parameter(consume_multiple=True, negative="", help="A person, or a further key of one: NAME=FILE; repeated."),
]
RemoveOption = Annotated[
    list[str] | None,
    Parameter(
        consume_multiple=True,
        negative="",
        help="A person: NAME. Or one key of theirs: NAME=THUMBPRINT, or NAME=FILE; repeated.",
    ),
]
ThresholdOption = Annotated[int | None, Parameter(help="How many of them it takes. Default: as before.")]


def rotate(  # noqa: PLR0913 - a command's options are its parameters
    files: Annotated[
        list[Path] | None,
        Parameter(name="FILE", help="The signed next version to install; several, where versions were missed."),
    ] = None,
    /,
    *,
    add_root: AddOption = None,
    remove_root: RemoveOption = None,
    add_snapshot: AddOption = None,
    remove_snapshot: RemoveOption = None,
    root_threshold: ThresholdOption = None,
    snapshot_threshold: ThresholdOption = None,
    expires_days: ExpiresOption = DEFAULT_DAYS,
    sign: RootKeysOption = None,
    before: FromOption = None,
    out: Annotated[Path | None, Parameter(help="A new file for the next version, to be signed.")] = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """Make the next version of the trust file with --out, or install FILE once its root people have signed.

    The next version takes the root thresholds of the version before it and of its own. With no change it renews the
    end. Installing names the held snapshots that would lack signers, and is refused while the active one is among them;
    the former version stays beside it. In a home without a trust file, FILE becomes its first.
    """
    lists, others = (add_root, remove_root, add_snapshot, remove_snapshot, sign), (before, out)
    thresholds = (root_threshold, snapshot_threshold)
    changed = expires_days != DEFAULT_DAYS or any(one is not None for one in (*lists, *thresholds, *others))
    if files and not changed:
        _install(files, home, json=json)
        return
    if files or out is None:
        raise OperatorError("give --out FILE with the changes, to make the next version, or the signed FILE to install")
    check_absent(out)
    current = _current(before, home)
    document = draft_trust(
        {
            RoleName.ROOT: _change(current.roles[RoleName.ROOT], remove_root, add_root, root_threshold),
            RoleName.SNAPSHOT: _change(
                current.roles[RoleName.SNAPSHOT], remove_snapshot, add_snapshot, snapshot_threshold
            ),
        },
        [load_private(path) for path in sign or ()],
        SystemClock().now(),
        expires_days=expires_days,
        version=current.version + 1,
        demo=is_demo(home),
    )
    write_durable(out, document)
    tell(out, home, before, json=json)


def _current(before: Path | None, home: Path) -> Trust:
    """The version to change: that of --from, or the home's. It may have expired."""
    if before is not None:
        return named(before, read_trust(before), demo=is_demo(home))
    store = TrustStore.of(Home(home), demo=is_demo(home))
    try:
        return store.current()
    except TrustError as error:
        raise OperatorError(f"{store.path}: {error}") from error


def _change(role: Role, remove: Sequence[str] | None, add: Sequence[str] | None, threshold: int | None) -> Role:
    """Who goes before who comes, so that a person's only key can be exchanged at once."""
    for argument in remove or ():
        name, one_key, which = argument.partition("=")
        role = without_key(role, name, _kid(role, which)) if one_key else without_person(role, name)
    for argument in add or ():
        name, path = parse_person(argument)
        role = with_key(role, name, load_public(Path(path)))
    return role if threshold is None else replace(role, threshold=threshold)


def _kid(role: Role, which: str) -> str:
    """The thumbprint given, or that of the key in the file given: of a lost key there may be no file."""
    if any(which == key.kid for person in role.signers for key in person.keys):
        return which
    if not Path(which).exists():
        raise OperatorError(f"{which} is neither the thumbprint of a key of the role nor a file: relais trust show")
    return load_public(Path(which)).kid


def _install(files: Sequence[Path], home: Path, *, json: bool) -> None:
    place, settings = open_home(home)
    store = TrustStore.of(place, demo=settings.instance.demo)
    documents, now = [read_trust(path) for path in files], SystemClock().now()
    fallen: list[int] = []
    try:
        if os.path.lexists(store.path):
            versions = store.install(documents, now, lambda *trusts: fallen.extend(_judge(place, settings, *trusts)))
        else:
            versions = (store.install_first(documents[-1], now),)
    except TrustError as error:
        raise OperatorError(f"{', '.join(map(str, files))}: {error}") from error
    trust = store.current()
    if json:
        print_json({"version": trust.version, "installed": [one.version for one in versions], "falling": fallen})
    else:
        print(_said(store, trust, versions))
    if fallen:
        numbers = ", ".join(map(str, fallen))
        warn(f"held snapshots {numbers} lack signers under version {trust.version}: none of them can be activated")
    if (warning := trust.expiry_warning(now, settings.trust.expiry_warning_days)) is not None:
        warn(warning)


def _judge(home: Home, settings: Settings, current: Trust, following: Trust) -> tuple[int, ...]:
    """The held snapshots that would fall. Raises `OperatorError` while the active one is among them."""
    # A builder's home may hold a trust file and no orders: nothing serves there.
    state = current_state(home, settings) if home.orders.exists() else State()
    catalog = Catalog(home.snapshots)
    fallen = falling(catalog, current, following)
    for sequence in serving(catalog, state):
        if sequence in fallen:
            left = sorted(read_draft(catalog.path(sequence)).signers(following))
            raise OperatorError(
                f"version {following.version} would leave snapshot {sequence}, which serves, with {len(left)} of "
                f"{following.threshold(RoleName.SNAPSHOT)} signers ({', '.join(left) or 'none'}): first load one "
                f"signed by people who stay. Would lack signers: {', '.join(map(str, fallen))}"
            )
    return fallen


def serving(catalog: Catalog, state: State) -> tuple[int, ...]:
    """The sequences that answers rest on: the active snapshot and, where it is a delta, the base it lies over."""
    if state.activation is None:
        return ()
    active = state.activation.sequence
    try:
        base = read_draft(catalog.path(active)).manifest.base
    except SnapshotRefused:
        return (active,)
    return (active,) if base is None else (active, base.sequence)


def _said(store: TrustStore, trust: Trust, versions: Sequence[Trust]) -> str:
    if not versions:
        return f"trust version {trust.version} is in place already: no change"
    where = f"trust version {trust.version} in {store.path}, expires {trust.expires_at:%Y-%m-%d}, digest {trust.digest}"
    kept = [path.name for one in range(1, trust.version) if (path := store.kept(one)).exists()]
    return f"{where}\nformer versions kept: {', '.join(kept)}" if kept else where
