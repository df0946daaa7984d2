"""Status tells the truth about the supply of snapshots, on every server, while loads come, fail and stay away."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.fleet import Installation, ServerName, wait_until
from tests.scenarios.shifted_clock import shifted
from tests.scenarios.supply import build, held, load

HOUR = 3600
DAY = 24 * HOUR
GUARD = "9 guard"


def public(site: Installation) -> dict[str, Any]:
    supply: dict[str, Any] = site.request("GET", "/v1/status").json()["supply"]
    return supply


def operators(site: Installation) -> dict[str, Any]:
    supply: dict[str, Any] = json.loads(site.relais("status", "--json", status=None).stdout)["supply"]
    return supply


def reasons(site: Installation, server: ServerName = "rights") -> list[tuple[str, bool]]:
    reply = site.request("GET", "/readyz", server=server)
    assert reply.status == 200
    return [(reason["code"], reason["blocking"]) for reason in reply.json()["reasons"]]


def logged(site: Installation, event: str) -> list[tuple[str, str]]:
    """The lines of one event in the log of the rights server: code and detail."""
    lines = [json.loads(line) for line in site.read_log("rights").splitlines() if line.startswith("{")]
    return [(line["code"], line.get("detail", "")) for line in lines if line["event"] == event]


def test_a_refused_load_is_told_everywhere_until_the_next_success(site: Installation, next_night: Path):
    site.start("rights", workers=1)
    site.start("admin", workers=1)
    policy = site.home.with_name("policy.toml")
    text = (site.home / "demo" / "policy.toml").read_text()
    policy.write_text(text.replace("renewal_grace_days = 31", "renewal_grace_days = 90"))
    looser = build(site, 2, policy=policy, name="looser")
    first = public(site)
    assert (first["last_error"], first["warnings"]) == (None, [])
    assert first == operators(site) | {"time_left_seconds": first["time_left_seconds"]}

    load(site, looser, "--dry-run", status=1)
    assert public(site)["last_error"] is None
    load(site, looser, status=1)
    told = public(site)
    assert (told["changed"], told["activated"], told["expires"]) == tuple(
        first[stage] for stage in ("changed", "activated", "expires")
    )
    assert told["checked"] == told["last_error"]["at"] > first["checked"]
    assert told["last_error"] == {"at": told["checked"], "step": GUARD}
    assert "renewal_grace_days" in operators(site)["last_error"]["text"]
    assert reasons(site) == reasons(site, "admin") == [("load_refused", False)]
    for document in (site.request("GET", "/v1/status").body, site.request("GET", "/readyz").body):
        assert b"signer-" not in document
        assert str(site.home).encode() not in document
        assert b"renewal_grace_days" not in document
    detail = f"{GUARD}, at {told['checked']}"
    wait_until(lambda: ("load_refused", detail) in logged(site, "supply_warning"), 10, lambda: site.read_log("rights"))

    load(site, next_night)
    after = public(site)
    assert (after["last_error"], after["warnings"]) == (None, [])
    assert after["checked"] == after["changed"] > told["checked"]
    assert after["activated"] >= after["changed"]
    assert reasons(site) == reasons(site, "admin") == []
    wait_until(
        lambda: logged(site, "supply_warning_over") == [("load_refused", "")], 10, lambda: site.read_log("rights")
    )
    assert logged(site, "supply_warning") == [("load_refused", detail)]


def test_a_freeze_is_told_long_before_the_snapshot_expires(site: Installation):
    """Nothing new came for two nights: every look may have succeeded, and the answers are still good."""
    site.environment |= shifted(48 * HOUR)
    site.start("rights", workers=1)
    site.start("admin", workers=1)
    assert reasons(site) == reasons(site, "admin") == [("freeze", False)]
    told = public(site)
    assert [warning["code"] for warning in told["warnings"]] == ["freeze"]
    assert told["time_left_seconds"] > 40 * DAY
    assert site.ask(site.example("open")).status == 401  # by the clock of the counter, which is right


def test_a_clock_one_day_behind_refuses_a_good_load_and_names_itself(site: Installation, next_night: Path):
    site.start("rights", workers=1)
    site.environment |= shifted(-DAY)
    said = load(site, next_night, status=1)
    assert "4 dates" in said
    assert "made in the future, unless this clock is behind" in said
    verdict = json.loads((site.home / "snapshots" / "last-load.verdict.json").read_text())
    assert (verdict["accepted"], verdict["step"]) == (False, "4 dates")
    for name in shifted(-DAY):
        del site.environment[name]
    assert held(site) == {1: "active"}
    assert site.ask(site.example("open")).headers["Relais-Snapshot"] == "1"
    load(site, next_night)
    assert held(site) == {1: "superseded", 2: "active"}


def test_a_clock_one_day_ahead_takes_what_is_valid_for_longer_and_refuses_what_is_not(
    site: Installation, next_night: Path
):
    policy = ("--policy", str(site.home / "demo" / "policy.toml"), "--source", str(site.home / "demo" / "rows.ndjson"))
    short = site.home.with_name("short")
    site.relais("snapshot", "build", *policy, "--sequence", "2", "--valid-for", "1", "--out", str(short))
    for signer in ("signer-1", "signer-2"):
        site.relais("snapshot", "sign", str(short), "--key", str(site.home / "keys" / f"{signer}.jwk"))
    site.start("rights", workers=1)
    site.environment |= shifted(DAY)
    said = load(site, short, status=1)
    assert "4 dates" in said
    assert "expired, unless this clock is ahead" in said
    assert site.ask(site.example("open")).headers["Relais-Snapshot"] == "1"
    load(site, next_night, status=None)  # the workers' clock is right, so nobody can tell who follows
    for name in shifted(DAY):
        del site.environment[name]
    assert held(site) == {1: "superseded", 2: "active"}
    wait_until(
        lambda: site.ask(site.example("closed")).headers["Relais-Snapshot"] == "2",
        10,
        lambda: "snapshot 2 is not served",
    )
    assert site.ask(site.example("open")).status == 200
