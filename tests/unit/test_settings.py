from __future__ import annotations

import pytest

from service.errors import SettingsError
from service.settings import parse_settings


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


def test_an_override_stands_above_the_file():
    assert parse_settings("[rights]\nport = 8080", {"RELAIS_RIGHTS_PORT": "9000"}).rights.port == 9000
