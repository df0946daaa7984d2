"""A vendor's list, keys and limits over time, and revocation, on real servers with real people."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest

from stubs.connection import Signer
from tests.fleet import REPOSITORY, Installation, wait_until, write_client_key
from tests.scenarios.callers import Callers
from tests.scenarios.shifted_clock import SteppingClock

NUMBERS = [f"13{number:07d}" for number in range(1, 41)]
#: One second is promised, one more is for a machine that is busy.
PROMISED_SECONDS = 2.0
#: Who approves at the command line, as the kernel keeps it.
SECOND_PERSON = "4000000"
_AS_SOMEBODY_ELSE = (
    "import os, sys; open('/proc/self/loginuid', 'w').write(sys.argv[1]); os.execv(sys.argv[2], sys.argv[2:])"
)


def public(site: Installation, client: str) -> dict[str, Any]:
    if not site.key(client).exists():
        write_client_key(site.key(client))
    jwk: dict[str, Any] = json.loads(site.key(client).read_bytes())
    return {name: value for name, value in jwk.items() if name != "d"}


def write_list(site: Installation, vendor: str, numbers: list[str]) -> Path:
    """A list as a vendor's own software would sign it."""
    clients = [{"id": f"ph-{number}", "finess": number, "jwk": public(site, f"ph-{number}")} for number in numbers]
    payload = {"iss": vendor, "aud": "relais-droits", "iat": int(time.time()), "clients": clients}
    key = jwt.PyJWK(json.loads(site.key(vendor).read_bytes()))
    kid = site.relais("client", "list", "--json").stdout
    (vendors,) = [one for one in json.loads(kid)["clients"] if one["id"] == vendor]
    headers = {"typ": "relais-enrolment+jws", "kid": vendors["keys"][0]["kid"]}
    token = jwt.api_jws.encode(json.dumps(payload).encode(), key.key, algorithm=key.algorithm_name, headers=headers)
    file = site.home.parent / "list.jws"
    file.write_text(token)
    return file


def codes(site: Installation, client: str, signer: Signer | None = None, now: int | None = None) -> set[str | int]:
    """What sixteen questions on connections of their own come to: 200, or the problem's code."""
    token = None if signer is None else signer.token() if now is None else signer.mint(now)
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    replies = [site.ask(site.example("open"), client, headers) for _ in range(16)]
    return {reply.status if reply.status == 200 else reply.code for reply in replies}


def by_http(site: Installation, proposal: str) -> None:
    path = f"/admin/v1/proposals/{proposal}"
    listed = site.admin("GET", f"{path}/list").json()
    assert {order["scope"] for order in listed["orders"]} == {f"ph-{number}" for number in NUMBERS}
    etag = site.admin("GET", path).headers["ETag"]
    reply = site.admin("POST", f"{path}/approve", {"reason": "jour un"}, headers={"If-Match": etag})
    assert (reply.status, reply.json()["state"]) == (200, "approved"), reply.body


def by_command(site: Installation, proposal: str) -> None:
    assert "somebody else" in site.relais("orders", "approve", proposal, status=1).stderr
    shown = site.relais("orders", "proposals", "--show", proposal).stdout
    assert all(f"client.register ph-{number} " in shown for number in NUMBERS)
    relais = [sys.executable, "-m", "service", "orders", "approve", proposal, "--home", str(site.home)]
    command = [sys.executable, "-c", _AS_SOMEBODY_ELSE, SECOND_PERSON, *relais]
    done = subprocess.run(command, cwd=REPOSITORY, env=site.environ(), capture_output=True, text=True, check=False)
    if "PermissionError" in done.stderr:
        pytest.skip("nobody here may tell the kernel who logged in")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("approve", [by_http, by_command])
def test_a_vendors_list_is_approved_by_a_second_person_and_serves_at_once(
    site: Installation, approve: Callable[[Installation, str], None]
):
    site.environment["RELAIS_CONTROL_TWO_PERSON"] = "always"
    site.register("editor", "vendor")
    site.start("rights", workers=2)
    site.start("admin", workers=1)
    (site.home.parent / "finess.txt").write_text("\n".join(NUMBERS))
    file = write_list(site, "editor", [*NUMBERS, "139999999"])
    words = ("client", "import", str(file), "--vendor", "editor", "--allowed", str(site.home.parent / "finess.txt"))
    proposed = site.relais(*words, status=4)
    assert "40 to register, 0 registered so already, 1 refused" in proposed.stdout
    found = re.search(r"proposed ([0-9a-f-]{36})", proposed.stdout)
    assert found is not None
    assert "1 proposal waits" in site.relais("status").stdout
    newcomers = [f"ph-{number}" for number in NUMBERS[::13]]
    for client in newcomers:
        assert codes(site, client) == {"token_invalid"}
    approve(site, found[1])
    # The command waits for the workers, the admin server does not.
    wait_until(lambda: codes(site, newcomers[0]) == {200}, 10, lambda: f"still {codes(site, newcomers[0])}")
    for client in newcomers:
        assert codes(site, client) == {200}
    assert codes(site, "ph-139999999") == {"token_invalid"}
    (one,) = [row for row in clients(site) if row["id"] == newcomers[0]]
    assert (one["daily"], one["limits"][0]["daily"]) == (200, 200)
    site.stop("rights")
    site.start("rights", workers=2)
    assert codes(site, newcomers[1]) == {200}
    assert "40 registered so already" in site.relais(*words).stdout


def clients(site: Installation) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(site.relais("client", "list", "--json").stdout)["clients"]
    return found


@pytest.fixture
def clock(site: Installation, tmp_path: Path) -> SteppingClock:
    clock = SteppingClock(tmp_path / "clock")
    site.environment |= clock.environment()
    return clock


def test_both_keys_of_a_rotation_are_good_until_the_former_ends(site: Installation, clock: SteppingClock):
    site.register("shop", "pharmacy", NUMBERS[0])
    site.start("rights", workers=2)
    former = Signer("shop", site.key("shop"))
    write_client_key(site.key("next"))
    fresh = Signer("shop", site.key("next"))
    assert codes(site, "shop", former) == {200}
    assert codes(site, "shop", fresh) == {"token_invalid"}
    site.relais("client", "rotate", "shop", "--key", str(site.key("next")), "--overlap", "4m")
    assert codes(site, "shop", former) == {200}
    assert codes(site, "shop", fresh) == {200}
    assert "warning client_key_ends: shop: key " in site.relais("status").stdout
    assert "client_key_ends" in {one["code"] for one in site.request("GET", "/readyz").json()["reasons"]}
    # The token of before is itself good for longer, and every worker remembers it.
    clock.step(241)
    assert codes(site, "shop", former) == {"token_invalid"}
    assert codes(site, "shop", former, int(time.time()) + 241) == {"token_invalid"}
    assert codes(site, "shop", fresh, int(time.time()) + 241) == {200}
    site.stop("rights")
    site.start("rights", workers=2)
    assert codes(site, "shop", former) == {"token_invalid"}
    assert codes(site, "shop", fresh, int(time.time()) + 241) == {200}


def test_a_limit_holds_at_every_worker_until_its_end(site: Installation, clock: SteppingClock):
    site.register("shop", "pharmacy", NUMBERS[0])
    site.start("rights", workers=2)
    site.relais("client", "limit", "shop", "--daily", "0", "--until", "4m", "--reason", "odd pace")
    assert codes(site, "shop") == {"budget_exhausted"}
    site.stop("rights")
    site.start("rights", workers=2)
    assert codes(site, "shop") == {"budget_exhausted"}
    clock.step(241)
    wait_until(lambda: codes(site, "shop") == {200}, 10, lambda: f"still {codes(site, 'shop')}")


async def test_a_suspension_is_felt_by_every_connection_in_a_second_and_after_a_restart(
    site: Installation, queries: list[bytes]
):
    site.register(
        "shop", "pharmacy", NUMBERS[0], options=("--daily", "100000", "--unknown", "100000", "--burst", "100000")
    )
    site.start("rights", workers=2)
    async with Callers(site, queries, client="shop") as callers:
        await callers.more(20)
        await asyncio.to_thread(site.relais, "client", "suspend", "shop", "--reason", "a stolen computer")
        returned = time.monotonic()
        seen = len(callers.replies)
        await callers.until(lambda: len(callers.replies) > seen + 40)
    (order,) = json.loads(site.relais("orders", "list", "--kind", "client.suspend", "--json").stdout)["orders"]
    given = dt.datetime.fromisoformat(order["at"]).timestamp() - time.time() + time.monotonic()
    last = max(reply.asked_at for reply in callers.answered)
    assert last < returned
    assert last - given < PROMISED_SECONDS
    assert {reply.response["code"] for reply in callers.refused} == {"client_suspended"}
    assert callers.losses == []
    site.kill("rights")
    (site.home / "control" / "orders.db").rename(site.home / "control" / "orders.away")
    site.start("rights", workers=2)
    assert codes(site, "shop") == {"client_suspended"}
