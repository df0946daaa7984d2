"""`relais journal verify`, `relais receipt verify` and `explain` in a home with a journal."""

from __future__ import annotations

import asyncio
import http.server
import io
import json
import sys
import threading
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest

from service.cli.home import create_home
from service.cli.main import _run
from service.clock import SystemClock
from service.control.fleet import FleetStore
from service.journal.entries import Pending
from service.journal.writer import JournalWriter
from service.keyfiles import KeyUse, load_jwks, load_private, write_new_key
from service.settings import Home
from service.strictjson import canonical

ANSWER = {
    "id": "018d7892-0000-7000-8000-000000000000",
    "at": "2024-02-05T09:30:12.123Z",
    "for": {"client": "pharmacie-1", "finess": "750012346"},
    "service_date": "2024-02-05",
    "mode": "degraded",
    "mode_order": 17,
    "status": "open",
    "advice": "apply_unguaranteed",
    "reasons": ["upstream_disabled"],
    "source": {
        "kind": "snapshot",
        "snapshot": 42,
        "extracted_at": "2024-02-05T02:00:00Z",
        "valid_until": "2024-02-12T04:00:00Z",
        "freshness": "fresh",
    },
    "contracts": [
        {
            "amc": "0775671993",
            "amc_name": "Mutuelle exemple",
            "member": "SECRET1",
            "status": "open",
            "reasons": ["presumed_renewed"],
            "valid_from": "2023-01-01",
            "valid_to": None,
        },
        {"amc": "0000000012", "status": "closed", "reasons": ["terminated"], "closed_on": "2024-01-01"},
    ],
}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    for folder in (made.keys, made.journal, made.fleet.parent):
        folder.mkdir(parents=True)
    made.settings.write_text("")
    write_new_key(KeyUse.RECEIPT, made.keys / "receipt.jwk")
    write_new_key(KeyUse.OFFICER, made.keys / "officer.jwk")
    FleetStore.create(made.fleet)
    return made


@pytest.fixture
def response(home: Home, tmp_path: Path) -> Path:
    """A response whose answer was recorded in the home, as a file."""

    async def record() -> dict[str, Any]:
        register = FleetStore(home.fleet)
        key, officer = load_private(home.keys / "receipt.jwk"), load_jwks(home.keys / "officer.pub.jwk")
        writer = JournalWriter(home.journal, "node-1", 0, key, officer, SystemClock(), register)
        await writer.start()
        waiting = Pending(
            answer=canonical(ANSWER),
            query=b"{}",
            opening=bytes(16),
            identity="nir|1850575116001|1985-05-12|1",
            client="pharmacie-1",
            finess="750012346",
            lease=None,
            disclosed="contract",
            status="open",
            reasons=("upstream_disabled",),
            snapshot=42,
        )
        receipts = await asyncio.gather(*[writer.record(waiting) for _ in range(3)])
        await writer.close()
        register.close()
        return msgspec.to_builtins(receipts[1])

    receipt = asyncio.run(record())
    file = tmp_path / "response.json"
    file.write_bytes(
        orjson.dumps({"answer": ANSWER, "counter_text": "Droits ouverts.", "receipt": receipt, "opening": "A" * 22})
    )
    return file


def relais(home: Home, *arguments: str) -> int:
    return _run([*arguments, "--home", str(home.root)])


def bend(response: Path, change: dict[str, Any]) -> None:
    response.write_bytes(orjson.dumps(orjson.loads(response.read_bytes()) | change))


@pytest.mark.usefixtures("response")
def test_a_whole_journal_exits_0(home: Home, capsys: pytest.CaptureFixture[str]):
    assert relais(home, "journal", "verify") == 0
    assert capsys.readouterr().out == "whole: 3 entries, 1 heads, 1 segments\n"
    assert relais(home, "journal", "verify", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {
        "whole": True,
        "segments": 1,
        "pruned": 0,
        "batches": 1,
        "entries": 3,
        "registered": True,
        "findings": [],
    }


@pytest.mark.usefixtures("response")
def test_a_damaged_journal_exits_1_and_names_the_entry(home: Home, capsys: pytest.CaptureFixture[str]):
    (segment,) = home.journal.glob("*.jsonl")
    lines = segment.read_bytes().splitlines(keepends=True)
    segment.write_bytes(b"".join(lines[:2] + lines[3:]))
    assert relais(home, "journal", "verify") == 1
    captured = capsys.readouterr()
    assert captured.err.startswith(f"gap: segment {segment.stem}, entry 1 (line 3): ")
    assert captured.out.startswith("DAMAGED: ")
    assert relais(home, "journal", "verify", "--json") == 1
    (finding,) = json.loads(capsys.readouterr().out)["findings"]
    assert (finding["cause"], finding["segment"], finding["first"], finding["damages"]) == (
        "gap",
        segment.stem,
        1,
        True,
    )


@pytest.mark.usefixtures("response")
def test_a_segment_cut_at_a_head_is_found_in_the_register(home: Home, capsys: pytest.CaptureFixture[str]):
    (segment,) = home.journal.glob("*.jsonl")
    segment.write_bytes(segment.read_bytes().splitlines(keepends=True)[0])
    assert relais(home, "journal", "verify") == 1
    assert f"cut: segment {segment.stem}, entries 0-2: " in capsys.readouterr().err


@pytest.mark.usefixtures("response")
def test_a_lost_register_is_said_and_does_not_stop_the_verification(home: Home, capsys: pytest.CaptureFixture[str]):
    home.fleet.unlink()
    assert relais(home, "journal", "verify") == 0
    captured = capsys.readouterr()
    assert "the register does not answer" in captured.err
    assert not home.fleet.exists()


def test_a_good_receipt_exits_0_and_is_found_in_the_journal(
    home: Home, response: Path, capsys: pytest.CaptureFixture[str]
):
    assert relais(home, "receipt", "verify", str(response)) == 0
    assert "its head stands in the journal, line 5" in capsys.readouterr().out
    assert relais(home, "receipt", "verify", str(response), "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["valid"], document["reason"], document["journal"]["line"]) == (True, None, 5)


def test_a_response_is_read_from_standard_input(home: Home, response: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(response.read_bytes())))
    assert relais(home, "receipt", "verify", "-") == 0


def test_a_changed_answer_exits_1_with_its_reason(home: Home, response: Path, capsys: pytest.CaptureFixture[str]):
    bend(response, {"answer": ANSWER | {"status": "closed"}})
    assert relais(home, "receipt", "verify", str(response)) == 1
    assert "root_mismatch" in capsys.readouterr().err


@pytest.mark.parametrize("change", [{"receipt": None}, {"receipt": {"head": "x", "index": 0, "path": []}}])
def test_a_bent_receipt_exits_1(home: Home, response: Path, change: dict[str, Any]):
    bend(response, change)
    assert relais(home, "receipt", "verify", str(response)) == 1


def test_a_receipt_whose_head_left_the_journal_exits_1(home: Home, response: Path, capsys: pytest.CaptureFixture[str]):
    for segment in home.journal.glob("*.jsonl"):
        segment.unlink()
    assert relais(home, "receipt", "verify", str(response)) == 1
    assert "not in the journal" in capsys.readouterr().err


def test_elsewhere_published_keys_are_enough(home: Home, response: Path, tmp_path: Path):
    keys = tmp_path / "jwks.json"
    keys.write_bytes(orjson.dumps({"keys": load_jwks(home.keys / "receipt.pub.jwk")}))
    assert _run(["receipt", "verify", str(response), "--jwks", str(keys), "--home", str(tmp_path / "none")]) == 0
    # Another installation's home need not hold the head.
    other = create_home(tmp_path / "other")
    assert _run(["receipt", "verify", str(response), "--jwks", str(keys), "--home", str(other.root)]) == 0
    write_new_key(KeyUse.RECEIPT, tmp_path / "other.jwk")
    elsewhere = ["receipt", "verify", str(response), "--home", str(tmp_path / "none")]
    assert _run([*elsewhere, "--jwks", str(tmp_path / "other.pub.jwk")]) == 1
    assert _run(elsewhere) == 1


def test_keys_are_fetched_from_an_address(home: Home, response: Path, tmp_path: Path):
    document = orjson.dumps({"keys": load_jwks(home.keys / "receipt.pub.jwk")})

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/jwks" else 404)
            self.end_headers()
            self.wfile.write(document)

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        base = f"http://127.0.0.1:{server.server_port}"
        elsewhere = ["receipt", "verify", str(response), "--home", str(tmp_path / "none"), "--jwks"]
        assert _run([*elsewhere, f"{base}/jwks"]) == 0
        assert _run([*elsewhere, f"{base}/nothing"]) == 1
        server.shutdown()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"answer": 1}',
        '{"answer": {}, "answer": {}}',
        "\ud800",
        "[" * 100_000,
        '{"x":' + "9" * 9999 + "}",
    ],
)
def test_what_is_no_response_is_refused(home: Home, tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / "file"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    for command in ("verify", "explain"):
        where = ["--home", str(home.root)] if command == "verify" else []
        assert _run(["receipt", command, str(file), *where]) == 1
        assert "that is no response" in capsys.readouterr().err


def test_an_explanation_names_mode_source_status_and_every_reason(response: Path, capsys: pytest.CaptureFixture[str]):
    assert _run(["receipt", "explain", str(response)]) == 0
    text = capsys.readouterr().out
    for expected in (
        "pharmacie-1",
        "ordre 17",
        "n° 42",
        "droits ouverts",
        "[upstream_disabled]",
        "[presumed_renewed]",
        "Mutuelle exemple",
        "[terminated]",
        "depuis le 2024-01-01",
        "Droits ouverts.",
        "sans garantie",
    ):
        assert expected in text
    assert "SECRET1" not in text


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"reasons": 1, "contracts": 1, "source": 1, "for": 1, "mode": 1},
        {"reasons": [[], "new_reason"], "contracts": [1], "id": "\x1b[2J\u202e"},
    ],
)
def test_a_made_up_answer_is_explained_without_harm(
    tmp_path: Path, answer: dict[str, Any], capsys: pytest.CaptureFixture[str]
):
    file = tmp_path / "file"
    file.write_bytes(orjson.dumps({"answer": answer}))
    assert _run(["receipt", "explain", str(file)]) == 0
    assert not {"\x1b", "\u202e"} & set(capsys.readouterr().out)
