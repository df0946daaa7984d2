"""Every kind of forged token we know, on the wire: one generic refusal for all, and nobody is admitted."""

from __future__ import annotations

import json
import time

import pytest

from tests.attacks.access.doors import Door, problem, told
from tests.fleet import Installation
from tests.scenarios.evidence import verify_journal
from tests.unit.access.forge import Bench
from tests.unit.access.wrong_signatures import FORGERIES

#: Bytes that no header line may hold: the request is refused before anybody looks for a token in it.
NO_HEADER_LINE = {"newline_inside", "newline_after", "nul_after"}
#: Blanks after a header's value are no part of it (RFC 9110 §5.5): this is the token.
THE_TOKEN_ITSELF = {"whitespace_after", "tab_after"}
#: Tokens are made by a clock a little ahead, so that one from 121 seconds ahead still is when it arrives.
AHEAD_SECONDS = 5
SENT = sorted(FORGERIES.keys() - NO_HEADER_LINE - THE_TOKEN_ITSELF)


@pytest.fixture(scope="module", params=["rights", "admin"])
def door(request: pytest.FixtureRequest, served: Installation) -> Door:
    if request.param == "rights":
        return Door(served, "rights", "relais-droits", (200, None))
    return Door(served, "admin", "relais-droits-admin", (403, "scope_missing"))


@pytest.fixture
def forger(bench: Bench, door: Door) -> Bench:
    """The bench, for this door, now."""
    bench.at, bench.audience = int(time.time()) + AHEAD_SECONDS, door.audience
    return bench


@pytest.mark.parametrize("name", SENT)
def test_a_forged_token_is_refused_in_the_one_way(door: Door, forger: Bench, name: str):
    refused, known = door.knock(FORGERIES[name](forger)), door.knock("not.a.token")
    assert told(refused) == (401, "token_invalid")
    assert problem(refused) == problem(known)
    assert set(refused.headers) == set(known.headers)
    assert [value for value in refused.headers.values() if "njected" in value or "attacker" in value] == []


@pytest.mark.parametrize("name", sorted(NO_HEADER_LINE))
def test_a_forged_token_that_is_no_header_line_is_no_request(door: Door, forger: Bench, name: str):
    assert told(door.knock(FORGERIES[name](forger))) == (400, "malformed_request")


@pytest.mark.parametrize("name", sorted(THE_TOKEN_ITSELF))
def test_blanks_around_a_header_are_no_part_of_the_token(door: Door, forger: Bench, name: str):
    assert told(door.knock(FORGERIES[name](forger))) == door.accepted


def test_the_forger_is_sound(door: Door, forger: Bench):
    """Each forgery bends one thing: unbent, both keys open the door."""
    assert len(SENT) >= 250
    for key in (forger.owner, forger.owner_ec):
        assert told(door.knock(forger.token(key))) == door.accepted


def test_no_forgery_admits_or_tells_of_a_suspended_client(served: Installation, bench: Bench):
    door = Door(served, "rights", "relais-droits", (200, None))
    bench.audience = door.audience
    for client in ("pharmacy-a", "pharmacy-b"):
        served.relais("client", "suspend", client, "--reason", "test")
    recorded = verify_journal(served)["entries"]
    for name in SENT:
        bench.at = int(time.time()) + AHEAD_SECONDS
        assert told(door.knock(FORGERIES[name](bench))) == (401, "token_invalid"), name
    assert told(door.knock(bench.token())) == (403, "client_suspended")
    assert verify_journal(served)["entries"] == recorded
    for client in ("pharmacy-a", "pharmacy-b"):
        served.relais("client", "resume", client, "--reason", "test")
    assert told(door.knock(bench.token())) == (200, None)


def test_forgeries_leave_whole_lines_in_the_log_and_nothing_of_themselves(door: Door, forger: Bench):
    """After all of the above: each line is one JSON object, and none quotes a token."""
    door.knock(forger.token(iss="pharmacy-a\nMARQUE", sub="pharmacy-a\nMARQUE"))
    door.knock("MARQUE.MARQUE.MARQUE")
    lines = door.site.read_log(door.server).splitlines()
    events = [json.loads(line) for line in lines if line.startswith("{")]
    assert any(event["event"] == "refused" and event["code"] == "token_invalid" for event in events)
    for line in lines:
        assert not any(mark in line for mark in ("MARQUE", "njected", "attacker.example", "passwd", "eyJ")), line
        assert line.isprintable(), line
