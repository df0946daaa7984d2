"""`relais keys`: make key files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from service.cli.common import JsonOption, print_json
from service.keyfiles import KeyUse, write_new_key

app = App(name="keys")


@app.command(name="new")
def new(
    *,
    use: Annotated[KeyUse, Parameter(help="What the key is for.")],
    out: Annotated[Path, Parameter(help="The private key's file; the public half lies beside it as .pub.jwk.")],
    json: JsonOption = False,
) -> None:
    """Make one key: the private JWK (mode 0600) in --out, the public half beside it. Never overwrites."""
    jwk, files = write_new_key(use, out)
    kid = jwk["keys"][0]["kid"] if "keys" in jwk else jwk["kid"]
    if json:
        print_json({"use": use.value, "kid": kid, "files": [str(file) for file in files]})
        return
    print(f"{use} key {kid}")
    for file in files:
        print(f"  {file}")
