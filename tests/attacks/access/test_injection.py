"""Lines, escapes and markup in whatever a caller may name: they reach no header, no log line, no terminal, no page."""

from __future__ import annotations

import json
import re
import time
import uuid
from urllib.parse import quote

import pytest

from tests.attacks.access.doors import QUERY, Door, told
from tests.faces.wire import Answer, Wire
from tests.fleet import Installation
from tests.unit.access.forge import Bench

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
GOOD = str(uuid.UUID(int=7, version=4))
#: What a caller might hope to see again, each with a mark to look for.
EVIL = {
    "crlf and a header": "a\r\nX-Injected: marque",
    "a header and a body": "a\r\n\r\n<marque>",
    "line feed": 'a\n{"event":"marque"}',
    "carriage return": "a\rmarque",
    "nul": "a\0marque",
    "escape sequence": "\x1b]0;marque\x07",
    "C1 control": "\x9b31mmarque",
    "right to left": "marque\u202egpj.exe",
    "line separator": "a\u2028marque",
    "byte order mark": "\ufeffmarque",
}


@pytest.fixture
def door(served: Installation, bench: Bench) -> Door:
    bench.at, bench.audience = int(time.time()), "relais-droits"
    return Door(served, "rights", "relais-droits", (200, None))


@pytest.fixture(autouse=True)
def _whole_log_lines(served: Installation) -> object:
    """After each test: every line of both logs is a whole one of ours, and holds nothing that was sent."""
    yield
    for server in ("rights", "admin"):
        for line in served.read_log(server).split("\n"):
            assert "marque" not in line.lower(), line
            assert line.isprintable(), line
            assert not line.startswith("{") or isinstance(json.loads(line), dict)


def is_clean(answer: Answer) -> None:
    """One response, with the headers of all others and nothing of what was sent."""
    assert "X-Injected" not in answer.headers
    assert b"marque" not in answer.raw.lower()
    assert answer.raw.count(b"HTTP/1.1 ") == 1
    if told(answer) == (400, "malformed_request"):  # what is no request has no id
        assert answer.headers["X-Request-Id"] is None
    else:
        assert UUID.fullmatch(answer.headers["X-Request-Id"].lower())


@pytest.mark.parametrize("name", EVIL)
def test_claims_that_nobody_reads_may_say_anything_and_reach_nothing(door: Door, bench: Bench, name: str):
    answer = door.knock(bench.token(name=EVIL[name], scope=[EVIL[name]], act={EVIL[name]: EVIL[name]}))
    assert told(answer) == (200, None)
    is_clean(answer)


@pytest.mark.parametrize("name", EVIL)
@pytest.mark.parametrize("claim", ["iss", "sub", "aud", "jti"])
def test_claims_that_are_read_hold_no_such_text(door: Door, bench: Bench, claim: str, name: str):
    text = EVIL[name]
    members = {"iss": text, "sub": text} if claim in ("iss", "sub") else {claim: text}
    answer = door.knock(bench.token(**members))
    assert told(answer) == (401, "token_invalid")
    is_clean(answer)


@pytest.mark.parametrize(
    "value",
    [
        f"{GOOD}%0d%0aX-Injected: marque",
        f"{GOOD}\\r\\nX-Injected: marque",
        f"{GOOD};marque",
        f"{{{GOOD}}}",
        f"urn:uuid:{GOOD}",
        GOOD.replace("-", ""),
        f"{GOOD} {GOOD}",
        f"{GOOD},{GOOD}",
        "marque",
        "é" * 18,
        "\x1b[31mmarque",
        "\xa0" + GOOD,
        "1" * 36,
        "0" * 4000,
        "<script>marque</script>",
        "../../marque",
    ],
)
def test_a_request_id_that_is_no_uuid_is_replaced_and_never_repeated(door: Door, bench: Bench, value: str):
    answer = door.knock(bench.token(), **{"X-Request-Id": value})
    is_clean(answer)
    assert told(answer) in ((200, None), (400, "malformed_request"))
    assert answer.headers["X-Request-Id"] is None or answer.headers["X-Request-Id"] not in value


@pytest.mark.parametrize(
    "lines",
    [
        f"X-Request-Id: {GOOD}\r\n X-Injected: marque",
        f"X-Request-Id: {GOOD}\rX-Injected: marque",
        f"X-Request-Id: {GOOD}\nX-Injected: marque",
        f"X-Request-Id: {GOOD}\0marque",
        f"X-Request-Id : {GOOD}",
        f"X-Request-Id: {GOOD}\r\nX-Request-Id: {GOOD[:-1]}8",
    ],
)
def test_a_request_id_that_is_folded_cut_or_doubled_starts_no_second_line(door: Door, bench: Bench, lines: str):
    request = [
        "POST /v1/rights HTTP/1.1",
        "Host: localhost",
        f"Authorization: Bearer {bench.token()}",
        lines,
        "Content-Type: application/json",
        f"Content-Length: {len(QUERY)}",
    ]
    with Wire(door.site) as wire:
        wire.send("\r\n".join([*request, "", ""]).encode() + QUERY)
        answer = wire.answer()
    is_clean(answer)
    assert told(answer) in ((200, None), (400, "malformed_request"))
    assert len(answer.headers.get_all("X-Request-Id") or [None]) == 1


def test_a_uuid_is_repeated_as_it_was_sent(door: Door, bench: Bench):
    answer = door.knock(bench.token(), **{"X-Request-Id": GOOD.upper()})
    assert (told(answer), answer.headers["X-Request-Id"]) == ((200, None), GOOD.upper())


@pytest.mark.parametrize("name", [*EVIL, "markup", "path", "capital", "long"])
def test_a_client_id_holds_no_such_text(served: Installation, name: str):
    text = {"markup": "<b>marque</b>", "path": "../marque", "capital": "MARQUE", "long": "m" * 65, **EVIL}[name]
    body = {"class": "pharmacy", "finess": ["750012346"], "keys": [], "reason": "test"}
    path = f"/admin/v1/clients/{quote(text.encode('utf-8', 'surrogatepass'), safe='')}"
    refused = served.admin("PUT", path, body, headers={"If-None-Match": "*", "If-Match": "*"})
    assert 400 <= refused.status < 500
    assert b"marque" not in refused.body.lower()
    if "\0" in text:
        return  # no command line can hold it
    words = ("client", "suspend", text, "--reason", "test")
    said = served.relais(*words, status=None)
    assert said.returncode in (1, 2)
    on_a_terminal(said.stderr)
    assert said.stdout == ""


@pytest.mark.parametrize("name", [*EVIL, "a NIR"])
def test_a_reason_holds_no_such_text(served: Installation, name: str):
    text = {"a NIR": "marque 1 85 05 75 116 001 59", **EVIL}[name]
    tag = served.admin("GET", "/admin/v1/modes/*").headers["ETag"]
    sent = {"mode": "suspended", "reason": text}
    refused = served.admin("PUT", "/admin/v1/modes/*", sent, headers={"If-Match": tag})
    assert (refused.status, refused.code) == (422, "invalid_field")
    assert b"marque" not in refused.body.lower()
    if "\0" in text:
        return
    said = served.relais("mode", "set", "suspended", "--reason", text, status=1)
    on_a_terminal(said.stderr)
    assert "marque" not in said.stderr.lower()
    assert served.admin("GET", "/admin/v1/modes/*").json()["mode"] == "degraded"


def on_a_terminal(text: str) -> None:
    """One line that moves no cursor."""
    assert text.endswith("\n")
    assert all(line.isprintable() for line in text.split("\n")), ascii(text)
