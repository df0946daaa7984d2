"""People with keys of their own, a home whose trust file names them, and a snapshot that two of them signed."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from service.base64url import b64u_decode
from service.cli.exits import Exit
from service.cli.main import _run
from service.keyfiles import load_private, load_public
from service.snapshot.trust import RoleName
from service.snapshot.trustfile import draft_trust, role_of

PEOPLE = ("anne", "bruno", "chloe")
ROW = {
    "nir": "185057511600159",
    "birth_date": "1985-05-12",
    "birth_rank": 1,
    "amc": "0990000011",
    "member": "M1",
    "csr": "",
    "convention": "RO",
    "payer_rank": 1,
    "valid_from": "2023-01-01",
    "valid_to": None,
    "card_valid_to": None,
    "closed_on": None,
    "suspended": [],
    "responsible": True,
    "domains": ["PHAR"],
    "rates": {"PH7": 100},
    "rate_base": "TR",
}
POLICY = """
[[amc]]
number = "0990000011"
name = "Azur"
extracted_at = {extracted_at}
[amc.stand_in]
allowed = true
renewal_grace_days = 60
closed_trust_days = 3
max_age_days = 30
on_unknown = "check_card"
"""


class Desk:
    """A folder with `home`, `keys` and whatever commands write. Words that begin with `@` are files in it."""

    def __init__(self, root: Path, capture: pytest.CaptureFixture[str] | None = None) -> None:
        self.root = root
        self.home = root / "home"
        self._capture = capture

    def run(self, *words: str, home: str = "home") -> tuple[int, str, str]:
        """Status, standard output and standard error of a command."""
        status = _run([*(word.replace("@", f"{self.root}/") for word in words), "--home", str(self.root / home)])
        captured = None if self._capture is None else self._capture.readouterr()
        return status, *(("", "") if captured is None else (captured.out, captured.err))

    def done(self, *words: str, home: str = "home") -> str:
        """What a command says that succeeds."""
        status, out, err = self.run(*words, home=home)
        assert status == Exit.DONE, err
        return out

    def json(self, *words: str, home: str = "home") -> Any:
        return json.loads(self.done(*words, "--json", home=home))

    def refused(self, *words: str, home: str = "home") -> str:
        """The one line of a refusal, after which trust file, floor, orders and snapshots are what they were."""
        before = self.state()
        status, _, err = self.run(*words, home=home)
        assert status == Exit.REFUSED, err
        lines = [line for line in err.splitlines() if not line.startswith("relais: warning: ")]
        assert len(lines) == 1, err
        assert self.state() == before
        return lines[0].removeprefix("relais: ")

    def state(self) -> dict[str, Any]:
        """What decides who is trusted and what serves."""
        paths = [*self.home.glob("trust*.json"), *self.home.glob("node/*.json"), *self.home.glob("snapshots/*/*")]
        return {str(path.relative_to(self.home)): path.read_bytes() for path in paths} | {"active": self.active()}

    def active(self) -> list[Any]:
        """The sequences that orders made active, last first."""
        if not (self.home / "control" / "orders.db").exists():
            return []
        orders = json.loads(self.run("orders", "list", "--json")[1])["orders"]
        return [order["body"]["sequence"] for order in orders if order["kind"] == "snapshot.activate"]

    def kid(self, name: str) -> str:
        return load_public(self.root / "keys" / f"{name}.pub.jwk").kid

    def made(self, *words: str) -> str:
        """The next version as a draft, `@next.json`."""
        return self.done("trust", "rotate", "--out", "@next.json", *words)

    def signed(self, *words: str, by: Iterable[str] = ("anne", "bruno")) -> Path:
        """The next version, signed by these root people."""
        keys = [word for name in by for word in ("--sign", f"@keys/{name}-root.jwk")]
        self.done("trust", "rotate", "--out", "@next.json", *words, *keys)
        return self.root / "next.json"

    def rotated(self, *words: str, by: Iterable[str] = ("anne", "bruno")) -> None:
        """The next version, installed."""
        self.done("trust", "rotate", str(self.signed(*words, by=by)))
        (self.root / "next.json").unlink()

    def built(self, sequence: int) -> Path:
        """An unsigned snapshot."""
        words = ("--source", "@rows.ndjson", "--policy", "@policy.toml", "--sequence", str(sequence))
        self.done("snapshot", "build", *words, "--out", f"@s{sequence}")
        return self.root / f"s{sequence}"

    def loaded(self, sequence: int, *signers: str) -> None:
        """A snapshot built, signed and active."""
        folder = str(self.built(sequence))
        for signer in signers:
            self.done("snapshot", "sign", folder, "--key", f"@keys/{signer}.jwk")
        self.done("snapshot", "load", folder)

    def trust_that_ends(self, at: dt.datetime) -> None:
        """The trust file as it was a year before its end, whatever today is."""
        roles = {
            role: role_of([(name, load_public(self.root / "keys" / f"{name}{suffix}.pub.jwk")) for name in PEOPLE], 2)
            for role, suffix in ((RoleName.ROOT, "-root"), (RoleName.SNAPSHOT, ""))
        }
        keys = [load_private(self.root / "keys" / f"{name}-root.jwk") for name in PEOPLE[:2]]
        document = draft_trust(roles, keys, at - dt.timedelta(days=365), expires_days=365)
        (self.home / "trust.json").write_bytes(document)


def payload(path: Path) -> Any:
    """What a signed document says."""
    return json.loads(b64u_decode(json.loads(path.read_bytes())["payload"]))


def make(root: Path) -> None:
    """Keys, a home, trust version 1 (two of anne, bruno and chloe), and snapshot 1, signed by anne and bruno."""
    desk = Desk(root)
    (root / "keys").mkdir()
    for name in (*PEOPLE, "dora", "anne-new"):
        _made("keys", "new", "--use", "snapshot", "--out", str(root / "keys" / f"{name}.jwk"))
        _made("keys", "new", "--use", "root", "--out", str(root / "keys" / f"{name}-root.jwk"))
    _made("init", str(desk.home))
    _made("keys", "new", "--use", "officer", "--out", str(root / "officer.jwk"))
    shutil.move(root / "officer.pub.jwk", desk.home / "keys" / "officer.pub.jwk")
    (root / "rows.ndjson").write_text(json.dumps(ROW) + "\n")
    hour_ago = dt.datetime.now(dt.UTC) - dt.timedelta(hours=1)
    (root / "policy.toml").write_text(POLICY.format(extracted_at=f"{hour_ago:%Y-%m-%dT%H:%M:%SZ}"))
    desk.run("trust", "new", *first(), "--sign", "@keys/anne-root.jwk", "@keys/bruno-root.jwk")
    desk.loaded(1, "anne", "bruno")


def first() -> list[str]:
    """The people of version 1, as words of `trust new`."""
    words = ["--root-threshold", "2", "--snapshot-threshold", "2"]
    for name in PEOPLE:
        words += ["--root", f"{name}=@keys/{name}-root.pub.jwk", "--snapshot", f"{name}=@keys/{name}.pub.jwk"]
    return words


def _made(*words: str) -> None:
    assert _run(list(words)) == Exit.DONE
