"""A log line may be lost; nothing else may be lost with it."""

from __future__ import annotations

import errno
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from service import telemetry


class FullDisk(io.StringIO):
    """A log that takes nothing."""

    lines = 0

    def write(self, _: str) -> int:
        self.lines += 1
        raise OSError(errno.ENOSPC, "no space left")


@pytest.fixture(autouse=True)
def configured() -> Iterator[None]:
    telemetry.configure_logs()
    yield
    structlog.reset_defaults()


def test_a_line_is_json_on_standard_error(capsys: pytest.CaptureFixture[str]):
    structlog.get_logger().error("orders_not_followed", error="gone")
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["level"], line["error"]) == ("orders_not_followed", "error", "gone")


def test_a_full_disk_under_the_log_stops_nobody(monkeypatch: pytest.MonkeyPatch):
    full = FullDisk()
    monkeypatch.setattr(sys, "stderr", full)
    structlog.get_logger().error("orders_not_followed")
    assert full.lines == 1


def test_a_closed_log_stops_nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    with (tmp_path / "log").open("w", encoding="utf-8") as closed:
        pass
    monkeypatch.setattr(sys, "stderr", closed)
    structlog.get_logger().info("refused", code="token_invalid")
