"""The demo home: keys, synthetic people, a first snapshot, clients. For trying, never for real people."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import orjson

from service.access.clients import ClientClass, client_body, parse_client
from service.cli.activation import activate_folder
from service.cli.home import create_home
from service.cli.ordering import open_ledger
from service.cli.progress import Meter
from service.cli.upstream import order_live
from service.clock import SystemClock
from service.control.format import Kind
from service.control.intent import Intent
from service.errors import OperatorError
from service.files import write_durable
from service.keyfiles import KeyUse, load_private, load_public, write_new_key
from service.keyring import load_order_key
from service.settings import Home, Settings, load_settings
from service.snapshot.build import build_snapshot
from service.snapshot.pepper import load_peppers
from service.snapshot.plan import BuildPlan
from service.snapshot.signing import read_draft, sign_folder
from service.snapshot.trust import RoleName
from service.snapshot.trustfile import new_trust, role_of

DEFAULT_PEOPLE: Final = 100_000
ACTOR: Final = "demo"
EXAMPLES: Final = {
    "open": "somebody whose rights are open",
    "closed": "somebody whose contract has ended, the AMC named",
    "unknown": "somebody no AMC knows",
}
ROOTS: Final = ("root-1", "root-2")
SIGNERS: Final = ("signer-1", "signer-2")
CLIENTS: Final = {
    "demo-pharmacy": (ClientClass.PHARMACY, ("750012346",)),
    "demo-hub": (ClientClass.HUB, ("750012346", "130012342", "2A0012346")),
    "demo-admin": (ClientClass.ADMIN, ()),
}
_SEED: Final = 2024
_VALID_DAYS: Final = 45
_TRUST_DAYS: Final = 3650
#: A demo is for trying, and for measuring, and nobody lives in it: no budget stands in between.
_PLENTY: Final = {"daily": 1_000_000, "burst": 1_000_000, "unknown": 1_000_000}


def create_demo(root: Path, *, people: int, live: bool = False) -> Home:
    """A demo home with one activated snapshot of `people` synthetic people. Raises `OperatorError` if one is there.

    With `live` its upstream is asked from the first answer on: ordered before the snapshot is built, so that the
    return to live in steps is over by then.

    Made aside and renamed at the end: a first start that was interrupted leaves nothing that looks whole.
    """
    if people < 1:
        raise OperatorError(f"a demo home has at least one person, not {people}")
    target = root.absolute()
    if target.exists() and any(target.iterdir()):
        raise OperatorError(f"{root} is not empty: a demo home is made in a new directory")
    aside = target.with_name(f".{target.name}.making")
    shutil.rmtree(aside, ignore_errors=True)
    print(f"first start: making a demo home of {people} synthetic people in {target}", flush=True)
    home = create_home(aside, demo=True)
    settings = load_settings(home, {})
    _make_keys_and_trust(home)
    _register_clients(home, settings)
    if live:
        order_live(home, settings)
    _make_snapshot(home, settings, people, sequence=1)
    if target.exists():
        target.rmdir()
    aside.rename(target)
    return Home(target)


def refresh_demo(home: Home, settings: Settings) -> None:
    """Give a demo home whose snapshot has expired the next one, of people as they would be today."""
    with open_ledger(home, settings, stale=True) as ledger:
        active = ledger.state.activation
    if active is None:
        return
    manifest = read_draft(home.snapshots / str(active.sequence)).manifest
    if manifest.valid_until <= SystemClock().now():
        print("the demo snapshot has expired: building the next", flush=True)
        people = int(orjson.loads((home.demo / "population.json").read_bytes())["people"])
        _make_snapshot(home, settings, people, sequence=active.sequence + 1)


def example_commands(home: Home, settings: Settings) -> str:
    """Ready-to-paste curl commands. Identities are in files, never on the screen or in a shell's history."""
    relais = shlex.quote(str(Path(sys.executable).with_name("relais")))
    root = shlex.quote(str(home.root))
    mint = f"{relais} token mint --home {root} --client demo-pharmacy --key {root}/keys/demo-pharmacy.jwk"
    token = f"$({mint} | tail -n 1)"
    lines = []
    for name, who in EXAMPLES.items():
        lines.append(f"# {who}")
        lines.append(
            f'curl -s http://127.0.0.1:{settings.rights.port}/v1/rights -H "Authorization: Bearer {token}" '
            f"-H 'Content-Type: application/json' -d @{root}/demo/{name}.json"
        )
    return "\n".join(lines)


def _make_keys_and_trust(home: Home) -> None:
    for name in ROOTS:
        write_new_key(KeyUse.ROOT, home.keys / f"{name}.jwk")
    for name in SIGNERS:
        write_new_key(KeyUse.SNAPSHOT, home.keys / f"{name}.jwk")
    for name in CLIENTS:
        write_new_key(KeyUse.CLIENT, home.keys / f"{name}.jwk")
    roles = {
        role: role_of([(name, load_public(home.keys / f"{name}.pub.jwk")) for name in names], threshold=2)
        for role, names in ((RoleName.ROOT, ROOTS), (RoleName.SNAPSHOT, SIGNERS))
    }
    roots = [load_private(home.keys / f"{name}.jwk") for name in ROOTS]
    write_durable(home.trust, new_trust(roles, roots, SystemClock().now(), expires_days=_TRUST_DAYS, demo=True))


def _register_clients(home: Home, settings: Settings) -> None:
    key = load_order_key(home, settings)
    with open_ledger(home, settings) as ledger:
        for name, (client_class, finess) in CLIENTS.items():
            public = dict(load_public(home.keys / f"{name}.pub.jwk").jwk)
            body = {"class": client_class.value, "finess": list(finess), "keys": [public], **_PLENTY}
            client = parse_client(name, body)
            intent = Intent(
                kind=Kind.CLIENT_REGISTER, scope=name, body=client_body(client), reason="demo client", actor=ACTOR
            )
            ledger.issue(intent, key, SystemClock().now())


def _make_snapshot(home: Home, settings: Settings, people: int, sequence: int) -> None:
    """Write people, build, sign with both signers, verify, activate: what operators do every night."""
    home.demo.mkdir(exist_ok=True)
    rows, policy = home.demo / "rows.ndjson", home.demo / "policy.toml"
    command = [sys.executable, "-m", "stubs.population", "--people", str(people), "--seed", str(_SEED)]
    command += ["--rows", str(rows), "--policy", str(policy), "--examples", str(home.demo)]
    if subprocess.run(command, check=False).returncode != 0:  # noqa: S603 - our own stand-in
        raise OperatorError("the synthetic population could not be made: a demo needs the stubs beside the service")
    write_durable(home.demo / "population.json", orjson.dumps({"people": people, "seed": _SEED}) + b"\n")
    kid, pepper = next(iter(load_peppers(home.path(settings.keys.pepper)).items()))
    with tempfile.TemporaryDirectory(prefix="relais-demo-", dir=home.root) as folder:
        out = Path(folder) / str(sequence)
        plan = BuildPlan(
            sources=(rows,),
            policy=policy,
            out=out,
            sequence=sequence,
            pepper_kid=kid,
            pepper=pepper,
            valid_for_days=_VALID_DAYS,
        )
        with Meter() as meter:
            build_snapshot(plan, SystemClock().now(), meter.report)
        for name in SIGNERS:
            sign_folder(out, load_private(home.keys / f"{name}.jwk"))
        # The guard would rightly ask why guarantees last longer now than in a snapshot of 45 days ago.
        accept = "a demo's people and policies are those of its day" if sequence > 1 else None
        activate_folder(home, settings, out, accept=accept)
