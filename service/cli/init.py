"""`relais init`: a new home."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from service.cli.demo import DEFAULT_PEOPLE, create_demo
from service.cli.home import create_home

app = App(name="init")


@app.default
def init(
    directory: Annotated[Path, Parameter(help="A new directory, or an empty one.")],
    /,
    *,
    demo: Annotated[
        bool, Parameter(negative="", show_default=False, help="With synthetic people, keys, clients, a snapshot.")
    ] = False,
    people: Annotated[int, Parameter(help="With --demo: how many synthetic people.")] = DEFAULT_PEOPLE,
    keys: Annotated[
        Path | None, Parameter(help="Folder of the key files, in production outside the home. Default: DIRECTORY/keys.")
    ] = None,
) -> None:
    """Make a home in `directory`."""
    if demo:
        create_demo(directory, people=people)
        print(f"demo home in {directory}")
        return
    home = create_home(directory, keys)
    print(f"home in {home.root}. Next, on the machines of the people concerned:")
    print("  relais keys new --use officer --out officer.jwk      and bring officer.pub.jwk here")
    print("  relais keys new --use root|snapshot --out NAME.jwk   and bring NAME.pub.jwk here")
    print("then relais trust new (docs/trust_format.md), relais client add, relais snapshot load.")
