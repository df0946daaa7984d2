"""A home that is no demo holds no key that could publish a snapshot or read the journal, and no loose file."""

from __future__ import annotations

import shutil
import stat

import pytest

from tests.fleet import Installation


@pytest.fixture
def production(site: Installation) -> Installation:
    """The demo's home as if it were none: only what a server holds."""
    settings = site.home / "relais.toml"
    settings.write_text(settings.read_text().replace("demo = true", "demo = false"))
    aside = site.home.with_name("elsewhere")
    aside.mkdir()
    for path in (site.home / "keys").glob("*.jwk"):
        own = path.stem in ("pepper", "receipt", "order")
        if not own and not path.name.endswith(".pub.jwk"):
            path.rename(aside / path.name)
    return site


@pytest.mark.parametrize(
    ("name", "server"), [("signer-1", "rights"), ("root-2", "admin"), ("officer", "rights"), ("demo-hub", "admin")]
)
def test_a_private_key_that_is_not_the_servers_refuses_to_serve(production: Installation, name: str, server: str):
    hidden = production.home / "snapshots" / "old.jwk"
    shutil.copy(production.home.with_name("elsewhere") / f"{name}.jwk", hidden)
    refused = production.relais("serve", server, status=1)
    assert refused.stderr.strip() == (
        "relais: snapshots/old.jwk is a private key: it must not lie in a home that serves"
    )


def test_without_such_keys_it_serves(production: Installation):
    production.start("rights", workers=1)
    # The pharmacy's key, too, lies elsewhere now: on the pharmacy's machine.
    production.key("demo-pharmacy").symlink_to(production.home.with_name("elsewhere") / "demo-pharmacy.jwk")
    assert production.ask(production.example("open")).status == 200


def test_every_secret_is_for_its_owner_only(site: Installation):
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (site.home / "keys").glob("*.jwk")}
    private = {name: mode for name, mode in modes.items() if not name.endswith(".pub.jwk")}
    assert set(private.values()) == {0o600}
    for path in (site.home / "control").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for folder in ("", "keys", "control", "node", "journal"):
        assert stat.S_IMODE((site.home / folder).stat().st_mode) == 0o700


def test_what_a_server_writes_is_for_its_owner_only(site: Installation):
    site.start("rights", workers=1)
    site.start("admin", workers=1)
    assert site.ask(site.example("open")).status == 200
    site.set_mode("degraded")
    for folder in ("journal", "node", "control", "run"):
        for path in (site.home / folder).iterdir():
            if path.name != "floor.json":
                assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


@pytest.mark.parametrize(
    ("missing", "server", "status"),
    [
        ("keys/officer.pub.jwk", "rights", 1),
        ("keys/receipt.jwk", "rights", 1),
        ("keys/order.pub.jwk", "rights", 1),
        ("keys/order.jwk", "admin", 1),
        ("control/orders.db", "rights", 3),
    ],
)
def test_what_is_missing_is_said_in_one_line_before_anything_starts(
    site: Installation, missing: str, server: str, status: int
):
    (site.home / missing).unlink()
    refused = site.relais("serve", server, status=status)
    assert len(refused.stderr.strip().splitlines()) == 1
    assert refused.stderr.startswith("relais: ")
    assert missing.rpartition("/")[2] in refused.stderr
