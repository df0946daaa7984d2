"""What no HTTP library would send: the server answers what it must, echoes nothing and goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.faces.desk import COUNTER, NOBODY, Counter
from tests.faces.wire import Answer, Wire
from tests.fleet import Installation, free_ports, wait_until

BODY = json.dumps({"beneficiary": NOBODY}).encode()
POST = b"POST /v1/rights HTTP/1.1"
CHUNKED = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)


def head(served: Installation, line: bytes = POST, more: bytes = b"", *, length: int | None = len(BODY)) -> bytes:
    """The head of a good request, with lines more."""
    token = served.token(COUNTER).encode()
    lines = [line, b"Host: relais", b"Authorization: Bearer " + token, b"Content-Type: application/json"]
    if length is not None:
        lines.append(b"Content-Length: %d" % length)
    return b"\r\n".join(lines) + b"\r\n" + more + b"\r\n"


def exchange(served: Installation, data: bytes) -> Answer:
    """The first answer to what is sent on a connection of its own."""
    with Wire(served) as wire:
        wire.send(data)
        return wire.answer()


def refused(answer: Answer, status: int, code: str) -> None:
    assert answer.status == status, answer
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Server"] == "relais-droits"
    assert answer.headers["Cache-Control"] == "no-store"
    assert json.loads(answer.body)["type"] == f"/problems/{code}"
    for secret in (b"MARQUE", b"marque", b"aiohttp", b"Python"):
        assert secret not in answer.raw


@pytest.fixture(autouse=True)
def still_well(counter: Counter) -> Iterator[None]:
    """After each of these requests the service answers the next caller."""
    yield
    assert counter.post({"beneficiary": NOBODY}).status == 200


# Heads


@pytest.mark.parametrize(
    "more",
    [
        pytest.param(b"X-Long: " + b"a" * 9000 + b"\r\n", id="one of 9 KB"),
        pytest.param(b"X-" + b"a" * 9000 + b": MARQUE\r\n", id="a name of 9 KB"),
        pytest.param(b"Cookie: MARQUE=" + b"a" * 100_000 + b"\r\n", id="one of 100 KB"),
        pytest.param(b"".join(b"X-%d: MARQUE\r\n" % number for number in range(300)), id="300 of them"),
    ],
)
def test_a_head_beyond_its_limit_is_a_431(served: Installation, more: bytes):
    refused(exchange(served, head(served, more=more) + BODY), 431, "header_too_large")


def test_an_address_beyond_its_limit_is_a_431(served: Installation):
    refused(
        exchange(served, head(served, b"POST /v1/rights?" + b"a" * 9000 + b" HTTP/1.1") + BODY), 431, "header_too_large"
    )


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"MARQUE\r\n\r\n", id="a word"),
        pytest.param(b"MARQUE MARQUE MARQUE\r\n\r\n", id="three words"),
        pytest.param(b"GET /MARQUE\r\nHost: x\r\n\r\n", id="no version"),
        pytest.param(b"GET /MARQUE HTTP/9.9\r\nHost: x\r\n\r\n", id="a version to come"),
        pytest.param(b"GET /livez HTTP/2.0\r\nHost: x\r\n\r\n", id="a version that is not written so"),
        pytest.param(b"GET /livez\r\n\r\n", id="the version before headers"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="HTTP/2 straight away"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03MARQUE\r\n\r\n", id="TLS"),
        pytest.param(b"MARQUE /livez HTTP/1.1\r\nHost: x\r\n\r\n", id="a method nobody knows"),
        pytest.param(b"get /livez HTTP/1.1\r\nHost: x\r\n\r\n", id="a method in small letters"),
        pytest.param(b"GET livez HTTP/1.1\r\nHost: x\r\n\r\n", id="a path without its slash"),
        pytest.param(b"GET /v1/MARQU\xc3\x89 HTTP/1.1\r\nHost: x\r\n\r\n", id="a path beyond ASCII"),
        pytest.param(b"GET http://[MARQUE/livez HTTP/1.1\r\nHost: x\r\n\r\n", id="an address that is none"),
        pytest.param(b"GET /livez HTTP/1.1\r\nHost: x\r\nMARQUE\r\n\r\n", id="a header without a colon"),
        pytest.param(b"GET /livez HTTP/1.1\r\nHost: x\r\nX-A : MARQUE\r\n\r\n", id="a space before the colon"),
        pytest.param(b"GET /livez HTTP/1.1\r\nHost: x\r\nX-A: a\r\n MARQUE\r\n\r\n", id="a folded header"),
        pytest.param(b"GET /livez HTTP/1.1\r\nHost: x\r\nX-A: a\nX-B: MARQUE\r\n\r\n", id="a bare LF in a value"),
        pytest.param(b"GET /livez HTTP/1.1\r\nHost: x\r\nX-A: a\rX-B: MARQUE\r\n\r\n", id="a bare CR in a value"),
        pytest.param(b"GET /livez HTTP/1.1\r\nHost: x\r\nX-A: a\x00MARQUE\r\n\r\n", id="a NUL in a value"),
        pytest.param(b"GET /livez HTTP/1.1\r\nHost: x\r\nX\x7f: MARQUE\r\n\r\n", id="a control character in a name"),
        pytest.param(b"GET /livez HTTP/1.1\r\nX-A: MARQUE\r\n\r\n", id="no host"),
        pytest.param(b"GET /livez HTTP/1.1\r\nHost: x\r\nHost: MARQUE\r\n\r\n", id="two hosts"),
    ],
)
def test_what_is_not_http_as_we_take_it_is_a_400(served: Installation, data: bytes):
    refused(exchange(served, data), 400, "malformed_request")


def test_a_request_id_with_a_line_end_splits_no_response(served: Installation):
    for split in (b"\r\n", b"\n", b"\r", b"%0d%0a", b"\\r\\n"):
        value = b"0b5c2e2a-9f39-4b8f-8c0b-3a1d2e4f5061" + split + b"Set-Cookie: MARQUE=1"
        answer = exchange(served, head(served, more=b"X-Request-Id: " + value + b"\r\n") + BODY)
        assert "Set-Cookie" not in answer.headers
        assert b"MARQUE" not in answer.raw


def test_a_second_authorization_is_refused_whichever_is_good(served: Installation):
    for other in (b"Bearer MARQUE", b"Bearer " + served.token(COUNTER).encode()):
        answer = exchange(served, head(served, more=b"Authorization: " + other + b"\r\n") + BODY)
        refused(answer, 400, "malformed_request")


# Where a body ends


@pytest.mark.parametrize(
    "more",
    [
        pytest.param(b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", id="chunked and a length"),
        pytest.param(b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", id="a length and chunked"),
        pytest.param(b"Content-Length: 5\r\nContent-Length: 6\r\n", id="two lengths"),
        pytest.param(b"Content-Length: 5\r\nContent-Length: 5\r\n", id="the same length twice"),
        pytest.param(b"Content-Length: 5, 5\r\n", id="a list of lengths"),
        pytest.param(b"Content-Length: +5\r\n", id="a length with a sign"),
        pytest.param(b"Content-Length: -5\r\n", id="a negative length"),
        pytest.param(b"Content-Length: 0x5\r\n", id="a hexadecimal length"),
        pytest.param(b"Content-Length: 5 5\r\n", id="a length with a space"),
        pytest.param(b"Content-Length: MARQUE\r\n", id="a length that is none"),
        pytest.param(b"Content-Length: 99999999999999999999999\r\n", id="a length beyond 64 bits"),
        pytest.param(b"Transfer-Encoding: MARQUE\r\n", id="an unknown coding"),
        pytest.param(b"Transfer-Encoding: xchunked\r\n", id="almost chunked"),
        pytest.param(b"Transfer-Encoding: gzip, chunked\r\n", id="packed and chunked"),
        pytest.param(b"Transfer-Encoding: chunked, gzip\r\n", id="chunked and packed"),
        pytest.param(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", id="two codings"),
        pytest.param(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", id="chunked twice"),
        pytest.param(b"Transfer-Encoding : chunked\r\n", id="chunked behind a space"),
        pytest.param(b"Transfer-Encoding:\x0bchunked\r\n", id="chunked behind a tabulator"),
    ],
)
def test_a_body_whose_end_two_servers_could_see_differently_is_refused(served: Installation, more: bytes):
    refused(exchange(served, head(served, more=more, length=None) + CHUNKED), 400, "malformed_request")


def test_http_1_0_has_no_chunks(served: Installation):
    old = head(served, b"POST /v1/rights HTTP/1.0", b"Transfer-Encoding: chunked\r\n", length=None)
    refused(exchange(served, old + CHUNKED), 400, "malformed_request")


def test_http_1_0_is_answered_and_closed(served: Installation):
    with Wire(served) as wire:
        wire.send(head(served, b"POST /v1/rights HTTP/1.0") + BODY)
        assert wire.answer().status == 200
        assert wire.is_closed()


def test_a_chunked_body_is_a_body(served: Installation):
    one_by_one = b"".join(b"1\r\n%c\r\n" % byte for byte in BODY) + b"0\r\n\r\n"
    for chunks in (CHUNKED, one_by_one, CHUNKED.replace(b"\r\n", b";MARQUE=1\r\n", 1)):
        with Wire(served) as wire:
            wire.send(head(served, more=b"Transfer-Encoding: chunked\r\n", length=None) + chunks)
            answer = wire.answer()
            assert (answer.status, b"MARQUE" in answer.raw) == (200, False)


@pytest.mark.parametrize("chunks", [b"MARQUE\r\n", b"-5\r\nMARQUE", b"5\r\nMARQUE\r\n", b"f" * 20 + b"\r\nMARQUE"])
def test_a_chunk_that_is_none_ends_the_connection(served: Installation, chunks: bytes):
    start = head(served, more=b"Transfer-Encoding: chunked\r\n", length=None)
    refused(exchange(served, start + chunks), 400, "malformed_request")
    with Wire(served) as wire:
        wire.send(start + b"1\r\n{\r\n")
        wire_has_been_read(served)
        wire.send(chunks)
        answer = wire.answer()
        refused(answer, *((400, "malformed_request") if answer.status == 400 else (408, "request_timeout")))
        wire.end()
        while not wire.is_closed():
            pass


def test_a_chunked_body_beyond_the_limit_is_refused(served: Installation):
    chunk = b"1000\r\n" + b" " * 0x1000 + b"\r\n"
    start = head(served, more=b"Transfer-Encoding: chunked\r\n", length=None)
    refused(exchange(served, start + chunk * 17), 413, "body_too_large")


def test_a_length_beyond_the_limit_is_refused_before_the_body_comes(served: Installation):
    refused(exchange(served, head(served, length=65_537) + b"{"), 413, "body_too_large")


def test_a_trailer_changes_nothing(served: Installation):
    trailer = CHUNKED[:-2] + b"Authorization: Bearer MARQUE\r\nContent-Type: text/plain\r\n\r\n"
    answer = exchange(served, head(served, more=b"Transfer-Encoding: chunked\r\n", length=None) + trailer)
    assert (answer.status, b"MARQUE" in answer.raw) == (200, False)


def test_pipelined_requests_are_answered_in_their_order(served: Installation):
    ids = [f"0b5c2e2a-9f39-4b8f-8c0b-{number:012x}".encode() for number in range(10)]
    with Wire(served) as wire:
        wire.send(b"".join(head(served, more=b"X-Request-Id: " + one + b"\r\n") + BODY for one in ids))
        answers = [wire.answer() for _ in ids]
    assert [answer.headers["X-Request-Id"].encode() for answer in answers] == ids
    assert {answer.status for answer in answers} == {200}


def test_garbage_behind_a_good_request_spoils_only_itself(served: Installation):
    with Wire(served) as wire:
        wire.send(head(served) + BODY)
        assert wire.answer().status == 200
        wire.send(b"MARQUE\r\n\r\n")
        refused(wire.answer(), 400, "malformed_request")
        assert wire.is_closed()


# Paths and methods


@pytest.mark.parametrize(
    "path",
    [
        *(b"//v1/rights", b"/v1/rights/", b"/v1//rights", b"/v1/./rights", b"/x/../v1/rights", b"/%2e%2e/v1/rights"),
        *(b"/v1/rights%2f", b"/v1/rights%00", b"/v1/rights%20", b"/v1%2frights", b"/V1/RIGHTS", b"/v1/rights;MARQUE"),
        *(b"/%ff", b"/%MARQUE"),
    ],
)
def test_a_path_spelt_with_tricks_is_not_found(served: Installation, path: bytes):
    refused(exchange(served, head(served, b"POST " + path + b" HTTP/1.1") + BODY), 404, "not_found")


@pytest.mark.parametrize("path", [b"/v1/%72ights", b"/v1/rights?MARQUE=1", b"http://relais/v1/rights"])
def test_another_spelling_of_the_same_path_is_still_asked_for_a_token(served: Installation, path: bytes):
    line = b"POST " + path + b" HTTP/1.1"
    assert exchange(served, head(served, line) + BODY).status == 200
    without = line + b"\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    refused(exchange(served, without), 401, "token_missing")


def test_trace_gives_nothing_back(served: Installation):
    for path in (b"/v1/rights", b"/livez", b"/"):
        answer = exchange(served, b"TRACE " + path + b" HTTP/1.1\r\nHost: x\r\nCookie: MARQUE\r\n\r\n")
        assert answer.status in (404, 405)
        assert b"MARQUE" not in answer.raw


@pytest.mark.parametrize("line", [b"CONNECT MARQUE:443 HTTP/1.1", b"OPTIONS * HTTP/1.1"])
def test_what_only_proxies_do_is_refused(served: Installation, line: bytes):
    answer = exchange(served, line + b"\r\nHost: x\r\n\r\n")
    assert answer.status in (400, 404, 405)
    assert b"MARQUE" not in answer.raw


def test_head_has_no_body_and_the_connection_goes_on(served: Installation):
    with Wire(served) as wire:
        for path in (b"/livez", b"/v1/status", b"/nowhere", b"/v1/rights"):
            wire.send(b"HEAD " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n")
            assert wire.answer(head=True).status in (200, 404, 405)
        wire.send(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert json.loads(wire.answer().body) == {"status": "alive"}


def test_an_upgrade_is_not_taken_up_and_the_connection_goes_on(served: Installation):
    for protocol in (b"websocket", b"h2c", b"MARQUE"):
        with Wire(served) as wire:
            wire.send(head(served, more=b"Connection: Upgrade\r\nUpgrade: " + protocol + b"\r\n") + BODY)
            assert wire.answer().status == 200
            wire.send(head(served) + BODY)
            assert wire.answer().status == 200


# Expectations


def test_a_caller_who_waits_for_100_is_told_to_go_on(served: Installation):
    with Wire(served) as wire:
        wire.send(head(served, more=b"Expect: 100-continue\r\n"))
        assert (wire.line(), wire.line()) == (b"HTTP/1.1 100 Continue", b"")
        wire.send(BODY)
        assert wire.answer().status == 200


@pytest.mark.parametrize("path", [b"/v1/rights", b"/nowhere", b"/livez"])
def test_another_expectation_is_refused_and_not_repeated(served: Installation, path: bytes):
    line = b"POST " + path + b" HTTP/1.1"
    answer = exchange(served, head(served, line, b"Expect: MARQUE\r\n") + BODY)
    refused(answer, 400, "malformed_request")
    assert answer.headers["Relais-Mode"] == "degraded"


# Slow and vanishing callers


def test_a_body_that_takes_its_time_is_a_408_and_the_end(served: Installation):
    with Wire(served) as wire:
        wire.send(head(served) + BODY[:10])
        refused(wire.answer(), 408, "request_timeout")
        assert wire.is_closed()


def test_a_body_that_comes_a_little_late_is_read(served: Installation):
    with Wire(served) as wire:
        wire.send(head(served) + BODY[:10])
        wire_has_been_read(served)
        wire.send(BODY[10:])
        assert wire.answer().status == 200


def test_a_caller_who_goes_away_in_the_middle_is_nobodys_error(served: Installation, counter: Counter):
    noted = served.read_log("rights")
    for cut in (1, 10, len(BODY) - 1):
        for how in (Wire.end, Wire.vanish):
            wire = Wire(served)
            wire.send(head(served) + BODY[:cut])
            wire_has_been_read(served)
            how(wire)
            with Wire(served) as other:
                other.send(head(served) + BODY)
                assert other.answer().status == 200
    with Wire(served) as wire:
        wire.send(head(served, more=b"Transfer-Encoding: chunked\r\n", length=None) + b"5\r\n{")
        wire.end()
        assert wire.is_closed()
    assert "request_failed" not in served.read_log("rights").removeprefix(noted)


def test_callers_who_go_away_before_the_answer_take_nobody_with_them(served: Installation):
    for _ in range(30):
        wire = Wire(served)
        wire.send(head(served) + BODY)
        wire.vanish()
    assert len(served.workers()) == 2


def wire_has_been_read(served: Installation) -> None:
    """Give the workers a turn: a request of our own has been answered since."""
    for _ in range(4):
        assert served.request("GET", "/livez").status == 200


# Too many at once


@pytest.fixture(scope="module")
def narrow(served: Installation) -> Iterator[Installation]:
    """One more worker of the same home that reads two slow bodies at a time, and waits long for them."""
    limits = {"RELAIS_LIMITS_BODIES_IN_FLIGHT": "2", "RELAIS_LIMITS_BODY_SECONDS": "60"}
    ports = free_ports(2)
    more = Installation(served.home, limits, {"rights": ports[0], "admin": ports[1]})
    more.start("rights", workers=1)
    yield more
    more.close()


def test_more_slow_bodies_than_allowed_are_turned_away_and_whole_ones_are_not(narrow: Installation):
    with Wire(narrow) as first, Wire(narrow) as second:
        for wire in (first, second):
            wire.send(head(narrow) + BODY[:10])

        def full() -> bool:
            with Wire(narrow) as third:
                third.send(head(narrow) + BODY[:10])
                third.end()
                try:
                    answer = third.answer()
                except AssertionError:  # it was let in, and left: the others have not been read yet
                    return False
            if answer.status == 400:  # the same, told before it had left
                return False
            refused(answer, 503, "overloaded")
            assert 30 <= int(answer.headers["Retry-After"]) <= 90
            return True

        wait_until(full, 15, lambda: "two slow bodies do not fill two places")
        assert exchange(narrow, head(narrow) + BODY).status == 200
        for wire in (first, second):
            wire.send(BODY[10:])
            assert wire.answer().status == 200
    assert not full()
