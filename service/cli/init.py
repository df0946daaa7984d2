"""`relais init`: a new home."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from service.cli.common import DEFAULT_HOME, HomeOption
from service.cli.demo import DEFAULT_PEOPLE, create_demo
from service.cli.home import create_home

app = App(name="init", help="Make a home: settings, keys, stores; with --demo also people, a snapshot and clients.")


@app.default
def init(
    directory: Annotated[Path | None, Parameter(name="DIR", help="Default: --home.")] = None,
    /,
    *,
    demo: Annotated[bool, Parameter(negative="", help="With synthetic people, keys, clients, a snapshot.")] = False,
    people: Annotated[int, Parameter(help="How many synthetic people (demo).")] = DEFAULT_PEOPLE,
    keys: Annotated[Path | None, Parameter(help="Where the key files go; in production outside the home.")] = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Make a home in DIR.

    Without --demo it gets what a server holds (pepper, order and receipt keys). Root, signer and officer keys are made
    on other machines with `relais keys new`; only their public halves come here.
    """
    root = directory or home
    if demo:
        create_demo(root, people=people)
        print(f"demo home in {root}")
        return
    made = create_home(root, keys)
    print(f"home in {made.root}. Next, on the machines of the people concerned:")
    print("  relais keys new --use officer --out officer.jwk      and bring officer.pub.jwk here")
    print("  relais keys new --use root|snapshot --out NAME.jwk   and bring NAME.pub.jwk here")
    print("then relais trust new (docs/trust_format.md), relais client add, relais snapshot load.")
