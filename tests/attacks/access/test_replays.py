"""A token seen once, sent again: after what made it good has gone, elsewhere, at another time, in another spelling."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from http.client import HTTPConnection
from pathlib import Path

import pytest

from stubs.connection import Signer
from tests.attacks.access.doors import FINESS, PLENTY, Door, register_bench, told
from tests.fleet import Installation, write_client_key
from tests.scenarios.callers import lines
from tests.scenarios.shifted_clock import SteppingClock
from tests.unit.access.forge import Bench
from tests.unit.access.forgeries import P256_ORDER, ec_numbers, ec_raw, with_signature

CLIENT = "victim"
DAY = 86_400


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def verdicts(site: Installation, to: Sequence[HTTPConnection], token: str) -> set[tuple[int, str | None]]:
    """What each worker says to a token, on the connection it keeps."""
    replies = [site.ask(site.example("open"), CLIENT, bearer(token), line) for line in to]
    return {(reply.status, None if reply.status == 200 else reply.code) for reply in replies}


@pytest.fixture
def served(site: Installation) -> Installation:
    """Four workers, so that one that does not follow is found."""
    site.register(CLIENT, "pharmacy", FINESS, options=PLENTY)
    site.start("rights", workers=4)
    return site


def test_a_token_every_worker_remembers_is_good_for_none_after_a_suspension(served: Installation):
    token = Signer(CLIENT, served.key(CLIENT)).token()
    with lines(served) as each:
        assert verdicts(served, each, token) == {(200, None)}
        served.relais("client", "suspend", CLIENT, "--reason", "its key was stolen")
        # The command returned: from now on every worker refuses, on connections that were open before as well.
        assert verdicts(served, each, token) == {(403, "client_suspended")}
    served.kill("rights")
    served.start("rights", workers=4)
    with lines(served) as each:
        assert verdicts(served, each, token) == {(403, "client_suspended")}
        served.relais("client", "resume", CLIENT, "--reason", "it was not")
        assert verdicts(served, each, token) == {(200, None)}


def test_a_token_of_the_former_key_ends_with_the_overlap_at_every_worker(site: Installation, tmp_path: Path):
    clock = SteppingClock(tmp_path / "clock")
    site.environment |= clock.environment()
    site.register(CLIENT, "pharmacy", FINESS, options=PLENTY)
    site.start("rights", workers=4)
    write_client_key(site.key("next"))
    former, fresh = Signer(CLIENT, site.key(CLIENT)).token(), Signer(CLIENT, site.key("next")).token()
    with lines(site) as each:
        assert verdicts(site, each, fresh) == {(401, "token_invalid")}
        assert verdicts(site, each, former) == {(200, None)}
        site.relais("client", "rotate", CLIENT, "--key", str(site.key("next")), "--overlap", "2m")
        assert verdicts(site, each, former) == verdicts(site, each, fresh) == {(200, None)}
        clock.step(121)
        assert verdicts(site, each, former) == {(401, "token_invalid")}
        assert verdicts(site, each, fresh) == {(200, None)}
    site.kill("rights")
    site.start("rights", workers=2)
    with lines(site) as each:
        assert verdicts(site, each, former) == {(401, "token_invalid")}
        assert verdicts(site, each, fresh) == {(200, None)}


def test_a_stolen_key_rotated_without_overlap_is_good_for_nothing_at_once(served: Installation):
    write_client_key(served.key("next"))
    former, fresh = Signer(CLIENT, served.key(CLIENT)).token(), Signer(CLIENT, served.key("next")).token()
    with lines(served) as each:
        assert verdicts(served, each, former) == {(200, None)}
        served.relais("client", "rotate", CLIENT, "--key", str(served.key("next")), "--overlap", "0m")
        assert verdicts(served, each, former) == {(401, "token_invalid")}
        assert verdicts(served, each, fresh) == {(200, None)}


def test_a_token_for_one_instance_or_server_opens_no_other(site: Installation):
    """Two instances may know the same key; a name tells them apart."""
    site.register(CLIENT, "pharmacy", FINESS, options=PLENTY)
    site.environment["RELAIS_INSTANCE_NAME"] = "relais-south"
    site.start("rights", workers=1)
    site.start("admin", workers=1)
    for audience, verdict in {
        "relais-south": (200, None),
        "relais-droits": (401, "token_invalid"),
        "relais-south-admin": (401, "token_invalid"),
        "relais-droits-admin": (401, "token_invalid"),
    }.items():
        reply = site.ask(site.example("open"), headers=bearer(Signer(CLIENT, site.key(CLIENT), audience).token()))
        assert (reply.status, None if reply.status == 200 else reply.code) == verdict, audience
    for client in (CLIENT, "demo-admin"):
        for audience in ("relais-south", "relais-droits", "relais-droits-admin"):
            token = Signer(client, site.key(client), audience).token()
            refused = site.request("GET", "/admin/v1/modes/*", headers=bearer(token), server="admin")
            assert (refused.status, refused.code) == (401, "token_invalid"), (client, audience)
    good = Signer("demo-admin", site.key("demo-admin"), "relais-south-admin").token()
    assert site.request("GET", "/admin/v1/modes/*", headers=bearer(good), server="admin").status == 200


@pytest.mark.parametrize("remembered", [False, True], ids=["seen for the first time", "remembered"])
def test_leeway_ends_exactly_where_it_is_said_to(site: Installation, tmp_path: Path, *, remembered: bool):
    """120 seconds: of the server's clock, which stands still here."""
    clock, now = SteppingClock(tmp_path / "clock"), int(time.time())
    site.environment |= clock.environment()
    site.register(CLIENT, "pharmacy", FINESS, options=PLENTY)
    site.start("rights", workers=1)
    signer = Signer(CLIENT, site.key(CLIENT))
    good, early, expired = (200, None), (401, "token_invalid"), (401, "token_expired")
    table = {-121: early, -120: good, -119: good, 0: good, 419: good, 419.999: good, 420: expired, 421: expired}
    token = signer.mint(now)
    if remembered:
        clock.stop(now)
        assert verdicts(site, [site.connect()], token) == {good}
    for seconds, verdict in table.items():
        clock.stop(now + seconds)
        text = token if remembered else signer.mint(now)
        assert verdicts(site, [site.connect()], text) == {verdict}, seconds


def test_another_spelling_of_a_token_is_refused_or_is_the_same_in_all_that_counts(site: Installation):
    bench = Bench(at=int(time.time()))
    register_bench(site, bench)
    site.start("rights", workers=1)
    door = Door(site, "rights", "relais-droits", (200, None))
    token, r, s = ec_numbers(bench)
    head, claims, signature = token.split(".")
    assert told(door.knock(token)) == (200, None)
    for other in (f"{head}=.{claims}.{signature}", f"{head}.{claims}.{signature}==", f"{head}.{claims}.{signature}A"):
        assert told(door.knock(other)) == (401, "token_invalid")
    # n - s is as true as s (docs/tokens.md): it is the same client, its key, its end and its budget.
    mirrored = with_signature(token, ec_raw(r, P256_ORDER - s))
    assert told(door.knock(mirrored)) == (200, None)
    site.relais("client", "suspend", "pharmacy-a", "--reason", "test")
    assert told(door.knock(mirrored)) == told(door.knock(token)) == (403, "client_suspended")
    events = [json.loads(line) for line in site.read_log("rights").splitlines() if line.startswith("{")]
    assert not any(token in str(event) for event in events)
