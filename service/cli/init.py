"""`relais init`: a new home."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from service.cli.demo import DEFAULT_PEOPLE, create_demo
from service.cli.home import create_home

app = App(name="init", help="Make a home: settings, keys, stores; with --demo also people, a snapshot and clients.")


@app.default
def init(
    directory: Path,
    /,
    *,
    demo: Annotated[bool, Parameter(negative="", help="With synthetic people, keys, clients, a snapshot.")] = False,
    people: Annotated[int, Parameter(help="How many synthetic people (demo).")] = DEFAULT_PEOPLE,
    keys: Annotated[Path | None, Parameter(help="Where the key files go; in production outside the home.")] = None,
) -> None:
    """Make a home in DIRECTORY.

    Without --demo it gets what a server holds (pepper, order and receipt keys). Root, signer and officer keys are made
    on other machines with `relais keys new`; only their public halves come here.
    """
    if demo:
        create_demo(directory, people=people)
        print(f"demo home in {directory}")
        return
    home = create_home(directory, keys)
    print(f"home in {home.root}. Next, on the machines of the people concerned:")
    print("  relais keys new --use officer --out officer.jwk      and bring officer.pub.jwk here")
    print("  relais keys new --use root|snapshot --out NAME.jwk   and bring NAME.pub.jwk here")
    print("then relais trust new (docs/trust_format.md), relais client add, relais snapshot load.")
