"""`relais init`: a new home."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from service.cli.common import DEFAULT_HOME, HomeOption
from service.cli.demo import DEFAULT_PEOPLE, create_demo
from service.cli.home import complete_home, create_home
from service.settings import Home

app = App(name="init")


@app.default
def init(
    directory: Annotated[
        Path | None, Parameter(name="DIR", help="A new directory, or an empty one. Default: --home.")
    ] = None,
    /,
    *,
    demo: Annotated[
        bool, Parameter(negative="", show_default=False, help="With synthetic people, keys, clients, a snapshot.")
    ] = False,
    people: Annotated[int, Parameter(help="With --demo: how many synthetic people.")] = DEFAULT_PEOPLE,
    keys: Annotated[
        Path | None, Parameter(help="Folder of the key files, in production outside the home. Default: DIR/keys.")
    ] = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Make a home in `directory`."""
    root = directory or home
    if demo:
        create_demo(root, people=people)
        print(f"demo home in {root}")
        return
    here = Home(root.absolute())
    if here.settings.exists() and (made := complete_home(here)):
        print(f"{root} is a home already; made what it lacked: {', '.join(made)}")
        return
    new = create_home(root, keys)
    folder = new.keys if keys is None else keys.absolute()
    print(f"home in {new.root}. Next, on the machines of the people concerned:")
    print(f"  relais keys new --use officer --out officer.jwk      and bring officer.pub.jwk to {folder}")
    print("  relais keys new --use root|snapshot --out NAME.jwk   and bring NAME.pub.jwk to relais trust new")
    print("then relais trust new, relais snapshot load, relais client add (docs/operate.md).")
