"""What `relais reconcile` refuses, before it opens or asks anything."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest

from service.cli.main import _run
from service.cli.officer import load_officer
from service.cli.ordering import parse_since
from service.errors import KeyRejected, OperatorError
from service.keyfiles import KeyUse, write_new_key
from service.settings import Home

NOW = dt.datetime(2024, 2, 5, 9, 30, tzinfo=dt.UTC)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    made.journal.mkdir(parents=True)
    made.settings.write_text('[upstream]\nurl = "http://127.0.0.1:1"\n')
    write_new_key(KeyUse.OFFICER, tmp_path / "officer.jwk")
    return made


def refused(home: Home, capsys: pytest.CaptureFixture[str], *words: str, key: str = "officer.jwk") -> str:
    folder = home.root.parent
    named = ["--officer-key", str(folder / key), "--out", str(folder / "out"), "--home", str(home.root)]
    assert _run(["reconcile", *named, *words]) == 1
    told = capsys.readouterr()
    assert not told.out
    assert told.err.count("\n") == 1
    return told.err


def test_without_an_upstream_there_is_nobody_to_ask(home: Home, capsys: pytest.CaptureFixture[str]):
    home.settings.write_text("")
    assert "set upstream.url" in refused(home, capsys)


@pytest.mark.parametrize("rate", ["0", "-1", "10001", "nan"])
def test_a_rate_that_is_none_is_refused(home: Home, rate: str, capsys: pytest.CaptureFixture[str]):
    assert "--rate takes" in refused(home, capsys, "--rate", rate)


@pytest.mark.parametrize("when", ["yesterday", "2024-01-29", "2024-01-29T18:00:00", "7w", "9999-12-31T23:59:59-12:00"])
def test_a_time_without_its_offset_is_refused(home: Home, when: str, capsys: pytest.CaptureFixture[str]):
    assert "--since takes" in refused(home, capsys, "--since", when)
    assert "--until takes" in refused(home, capsys, "--until", when)


def test_another_key_opens_nothing(home: Home, capsys: pytest.CaptureFixture[str]):
    write_new_key(KeyUse.CLIENT, home.root.parent / "client.jwk")
    assert "client.jwk: " in refused(home, capsys, key="client.jwk")
    assert "the private part of the officer's key is missing" in refused(home, capsys, key="officer.pub.jwk")
    assert not (home.root.parent / "out").exists()


def test_a_set_of_keys_is_not_one(tmp_path: Path):
    keys = [write_new_key(KeyUse.OFFICER, tmp_path / f"{n}.jwk")[0] for n in range(2)]
    (tmp_path / "set.jwk").write_text(json.dumps({"keys": keys}))
    with pytest.raises(KeyRejected, match="holds 2 keys, one is needed"):
        load_officer(tmp_path / "set.jwk")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30m", NOW - dt.timedelta(minutes=30)),
        ("2h", NOW - dt.timedelta(hours=2)),
        ("7d", NOW - dt.timedelta(days=7)),
        ("2024-01-29T18:00:00+01:00", dt.datetime(2024, 1, 29, 17, tzinfo=dt.UTC)),
        ("2024-01-29T17:00:00Z", dt.datetime(2024, 1, 29, 17, tzinfo=dt.UTC)),
    ],
)
def test_a_time_is_an_instant_or_how_long_ago(text: str, expected: dt.datetime):
    assert parse_since(text, NOW) == expected


def test_a_time_before_all_time_is_refused():
    with pytest.raises(OperatorError):
        parse_since("9999d", dt.datetime(2, 1, 1, tzinfo=dt.UTC))
