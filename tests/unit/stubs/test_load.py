from __future__ import annotations

import datetime as dt
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import OKPAlgorithm

from stubs import load
from stubs.connection import Signer
from stubs.load import Sample, read_queries, report, run, text
from stubs.ndjson import write_rows
from stubs.pharmacy import _parser
from stubs.population import Population
from tests.unit.stubs.counterpart import CLIENT, Office, Service

Serve = Callable[[web.Application], Awaitable[TestServer]]
Load = Callable[..., Awaitable[tuple[int, dict[str, Any]]]]


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    file = tmp_path / "rows.ndjson"
    with file.open("wb") as lines:
        write_rows(Population(50, 1, dt.date(2024, 2, 5)).rows(), lines)
    return file


@pytest.fixture
def key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


@pytest.fixture
def key_file(tmp_path: Path, key: Ed25519PrivateKey) -> Path:
    file = tmp_path / "pharmacy.jwk"
    file.write_text(json.dumps(OKPAlgorithm.to_jwk(key, as_dict=True)))
    return file


@pytest.fixture
def service(key: Ed25519PrivateKey) -> Service:
    return Service(Office(), key.public_key())


@pytest.fixture
def loaded(
    aiohttp_server: Serve, service: Service, key_file: Path, rows: Path, capsys: pytest.CaptureFixture[str]
) -> Load:
    async def go(*more: str, url: str = "") -> tuple[int, dict[str, Any]]:
        url = url or str((await aiohttp_server(service.app())).make_url("/"))
        fixed = (
            f"load --url {url} --client {CLIENT} --key {key_file} --rows {rows} --connections 4 --seconds 0.4 --json"
        )
        status = await run(_parser().parse_args([*fixed.split(), *more]), Signer(CLIENT, key_file))
        return status, orjson.loads(capsys.readouterr().out)

    return go


def test_every_second_query_names_its_amc(rows: Path):
    queries = [orjson.loads(query) for query in read_queries(rows)]
    assert len(queries) == len(rows.read_bytes().splitlines())
    assert ["amc" in query for query in queries[:4]] == [False, True, False, True]


async def test_every_answer_received_is_kept_and_every_receipt_checked(loaded: Load, service: Service, tmp_path: Path):
    kept = tmp_path / "kept.jsonl"
    status, figures = await loaded("--verify-share", "1", "--keep", str(kept))
    lines = [orjson.loads(line) for line in kept.read_bytes().splitlines()]
    assert status == 0
    assert sorted(lines, key=orjson.dumps) == sorted(service.answered, key=orjson.dumps)
    assert figures["requests"] == len(lines) > 0
    assert figures["outcomes"] == {"200": len(lines)}
    assert figures["receipts"] == {"checked": len(lines), "refused": 0, "reasons": {}}
    assert 0 < figures["latency_ms"]["p50"] <= figures["latency_ms"]["p99"] <= figures["latency_ms"]["max"]
    assert figures["swaps"] == []
    assert len(service.tokens) == 1


async def test_a_receipt_that_proves_nothing_is_a_failure(loaded: Load, service: Service):
    service.spoil = lambda response: response.update(opening="AAAAAAAAAAAAAAAAAAAAAA")
    status, figures = await loaded("--verify-share", "1")
    assert status == 1
    assert figures["failed"] == figures["receipts"]["refused"] == figures["requests"]


async def test_a_refusal_is_counted_but_no_failure_and_a_503_is_one(loaded: Load, service: Service):
    faults = {3: 429, 5: 503}
    service.fault = lambda number: web.Response(status=faults[number]) if number in faults else None
    status, figures = await loaded()
    assert status == 1
    assert figures["outcomes"]["429"] == figures["outcomes"]["503"] == figures["failed"] == 1


async def test_a_swap_is_reported_with_what_failed_around_it(loaded: Load, service: Service):
    service.snapshot = lambda number: 1 if number < 20 else 2
    service.fault = lambda number: web.Response(status=500) if number == 19 else None
    _, figures = await loaded()
    (swap,) = figures["swaps"]
    assert swap["snapshot"] == "2"
    assert swap["failed"] == 1
    assert swap["p99_ms"] > 0


async def test_a_service_that_is_away_is_counted_by_cause(loaded: Load):
    status, figures = await loaded(url=f"http://127.0.0.1:{unused_port()}")
    assert status == 1
    assert list(figures["outcomes"]) == ["ClientConnectorError"]
    assert figures["failed"] == figures["requests"]
    assert figures["latency_ms"]["p99"] is None


def test_workers_that_lag_behind_a_swap_are_seen():
    old = [Sample(at / 10, 0.01, "200", "7") for at in range(30)]
    new = [Sample(2.05 + at / 10, 0.02, "200", "8") for at in range(10)]
    (swap,) = report([*old, *new], 3, 0, [])["swaps"]
    assert swap["at_seconds"] == 2.07
    assert swap["others_answered_for_seconds"] == pytest.approx(0.83)
    assert (swap["p99_before_ms"], swap["p99_ms"]) == (10.0, 20.0)


def test_a_report_for_people_names_each_figure():
    samples = [Sample(0, 0.01, "200", "7"), Sample(1, 0.02, "ServerDisconnectedError", ""), Sample(2, 0.01, "200", "8")]
    told = text(report(samples, 3, 2, ["path: too short"]))
    assert "3 requests, 1.0/s, 2 failed" in told
    assert "200: 2, ServerDisconnectedError: 1" in told
    assert "refused 1 times: path: too short" in told
    assert "swap to 8 at 2.01 s" in told


async def test_an_empty_row_file_asks_nothing(tmp_path: Path, key_file: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "none").touch()
    options = _parser().parse_args(f"load --client c --key {key_file} --rows {tmp_path}/none".split())
    assert await load.run(options, Signer("c", key_file)) == 1
    assert "empty" in capsys.readouterr().out


def test_nobody_gets_a_token_that_is_still_being_made(key_file: Path, monkeypatch: pytest.MonkeyPatch):
    """Another thread may ask in the middle of it."""
    signer = Signer(CLIENT, key_file)
    mint, others = signer.mint, []

    def slowly(now: int) -> str:
        monkeypatch.setattr(signer, "mint", mint)
        others.append(signer.token())
        return mint(now)

    monkeypatch.setattr(signer, "mint", slowly)
    assert signer.token()
    assert all(others)
