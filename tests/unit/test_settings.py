from __future__ import annotations

import stat
from pathlib import Path

import pytest

from service.errors import SettingsError
from service.settings import Home, load_or_keep_settings, parse_settings


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path)
    made.settings.write_text("[query]\npast_days = 10\n")
    return made


def test_environment_overrides_the_text():
    settings = parse_settings("[rights]\nport = 1\n", {"RELAIS_RIGHTS_PORT": "2", "RELAIS_KEYS_OFFICERS": "a,b"})
    assert settings.rights.port == 2
    assert settings.keys.officers == ("a", "b")


def test_settings_that_work_are_noted_for_their_owner_only(home: Home, tmp_path: Path):
    kept = tmp_path / "kept.toml"
    settings, fault = load_or_keep_settings(home, {}, kept)
    assert (settings.query.past_days, fault) == (10, None)
    assert kept.read_bytes() == home.settings.read_bytes()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


@pytest.mark.parametrize("text", ['[query]\npast_days = "ten"\n', "[query", "[query]\nunknown = 1\n", "\udcff"])
def test_broken_ones_leave_those_before_in_force_and_are_told(home: Home, tmp_path: Path, text: str):
    kept = tmp_path / "kept.toml"
    load_or_keep_settings(home, {}, kept)
    home.settings.write_bytes(text.encode(errors="surrogateescape"))
    settings, fault = load_or_keep_settings(home, {}, kept)
    assert settings.query.past_days == 10
    assert isinstance(fault, SettingsError)
    assert "10" in kept.read_text()


def test_without_any_before_broken_ones_are_refused(home: Home, tmp_path: Path):
    home.settings.write_text("[query")
    with pytest.raises(SettingsError):
        load_or_keep_settings(home, {}, tmp_path / "kept.toml")


def test_a_note_that_cannot_be_written_is_no_reason_not_to_start(home: Home, tmp_path: Path):
    settings, fault = load_or_keep_settings(home, {}, tmp_path / "missing" / "kept.toml")
    assert (settings.query.past_days, fault) == (10, None)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("RELAIS_RIGHTS_PORT", "0"),
        ("RELAIS_RIGHTS_PORT", "65536"),
        ("RELAIS_ADMIN_PORT", "http"),
        ("RELAIS_RIGHTS_WORKERS", "0"),
        ("RELAIS_LIMITS_BODY_BYTES", "-1"),
        ("RELAIS_CONTROL_WATCH_SECONDS", "0"),
        ("RELAIS_JOURNAL_FSYNC", "perhaps"),
    ],
)
def test_a_variable_nobody_could_serve_by_is_named(variable: str, value: str):
    with pytest.raises(SettingsError) as refused:
        parse_settings("", {variable: value})
    assert str(refused.value).startswith(f"{variable}: ")


def test_what_the_file_says_wrongly_is_the_files():
    with pytest.raises(SettingsError, match=r"^relais\.toml: .*workers"):
        parse_settings("[rights]\nworkers = 0", {"RELAIS_RIGHTS_PORT": "9000"})
