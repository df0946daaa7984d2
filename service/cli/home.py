"""A new home: settings, directories, empty stores, and the keys a server needs."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from service.control.fleet import FleetStore
from service.control.store import SqliteOrderStore
from service.errors import OperatorError
from service.files import write_durable
from service.keyfiles import KeyUse, refuse_to_overwrite, write_new_key
from service.settings import Home

#: What a server holds. Signers', roots' and officers' private keys are made elsewhere.
SERVER_KEYS: Final = {"pepper": KeyUse.PEPPER, "order": KeyUse.ORDER, "receipt": KeyUse.RECEIPT}
_DIRECTORIES: Final = ("snapshots", "control", "node", "journal", "run")
_UNDER_ORDERS: Final = ("snapshots", "node", "journal")

_SETTINGS: Final = """\
# relais-droits: settings of this home. Every key, its unit and default: docs/settings.md.
# RELAIS_<SECTION>_<KEY> in the environment overrides a key, e.g. RELAIS_RIGHTS_PORT=9000.

[instance]
name = "relais-droits"  # the `aud` of pharmacies' tokens; `<name>-admin` on the admin server
node = "node-1"
demo = {demo}

[rights]
host = "127.0.0.1"
port = 8080
workers = 2

[admin]
host = "127.0.0.1"
port = 8081
workers = 2

[keys]
pepper = "{keys}/pepper.jwk"
receipt = "{keys}/receipt.jwk"
order = "{keys}/order.jwk"
order_public = ["{keys}/order.pub.jwk"]
officers = ["{keys}/officer.pub.jwk"]
"""


def create_home(root: Path, keys: Path | None = None, *, demo: bool = False) -> Home:
    """A home at `root`, its key files in `keys` (default `root`/keys). Raises `OperatorError` if something is there.

    Then nothing was made, so that the same command works once that is out of the way. The settings are written last:
    until then the directory is not a home.
    """
    home = Home(root.absolute())
    if home.settings.exists():
        raise OperatorError(f"{root} is a home already")
    if home.root.exists() and any(path.name != "lost+found" for path in home.root.iterdir()):
        raise OperatorError(f"{root} is not empty: a home is made in a new directory, or in an empty one")
    folder = home.keys if keys is None else keys.absolute()
    for name, use in SERVER_KEYS.items():
        refuse_to_overwrite(use, folder / f"{name}.jwk")
    home.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in _DIRECTORIES:
        (home.root / name).mkdir(mode=0o700, exist_ok=True)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, use in SERVER_KEYS.items():
        write_new_key(use, folder / f"{name}.jwk")
    SqliteOrderStore.create(home.orders)
    FleetStore.create(home.fleet)
    if demo:
        write_new_key(KeyUse.OFFICER, folder / "officer.jwk")
    shown = "keys" if keys is None else str(folder)
    write_durable(home.settings, _SETTINGS.format(demo=str(demo).lower(), keys=shown).encode(), 0o600)
    return home


def complete_home(home: Home) -> list[str]:
    """Make the directories and stores that a home with its settings lacks; their names.

    Raises `OperatorError` where the orders are gone and something there was made under them: an empty store would
    forget who may ask and what is suspended.
    """
    made = [name for name in _DIRECTORIES if not (home.root / name).exists()]
    lost = not home.orders.exists()
    if lost and any(any(home.root.joinpath(name).glob("*")) for name in _UNDER_ORDERS):
        raise OperatorError(f"{home.orders} is gone and this home has served: restore it from a backup")
    for name in made:
        (home.root / name).mkdir(mode=0o700)
    if lost:
        SqliteOrderStore.create(home.orders)
        made.append("control/orders.db")
    if not home.fleet.exists():
        FleetStore.create(home.fleet)
        made.append("control/fleet.db")
    return made
