from __future__ import annotations

import datetime as dt
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jwt
import msgspec
import pytest

from service.access.tokens import MAX_LIFETIME_SECONDS
from service.errors import SettingsError
from service.keyfiles import KeyUse, load_public, write_new_key
from service.settings import Home, Settings, UpstreamSettings
from service.upstream_token import upstream_token

NOW = dt.datetime(2024, 2, 5, 9, 30, tzinfo=dt.UTC)
CLOCK: Any = SimpleNamespace(now=lambda: NOW)


def settings(**upstream: Any) -> Settings:
    return msgspec.structs.replace(Settings(), upstream=UpstreamSettings(**upstream))


def test_without_a_client_there_is_no_token(tmp_path: Path):
    assert upstream_token(Home(tmp_path), settings(), CLOCK) is None


def test_a_token_says_who_we_are_there_and_each_is_another(tmp_path: Path):
    write_new_key(KeyUse.CLIENT, tmp_path / "us.jwk")
    mint = upstream_token(Home(tmp_path), settings(client="relais", key="us.jwk", audience="visiodroits"), CLOCK)
    assert mint is not None
    public = load_public(tmp_path / "us.pub.jwk")
    options: Any = {"verify_exp": False, "verify_iat": False}
    one, other = (
        jwt.decode(token, public.key, algorithms=[public.alg], audience="visiodroits", options=options)
        for token in (mint(), mint())
    )
    assert (one["iss"], one["sub"], one["iat"]) == ("relais", "relais", int(NOW.timestamp()))
    assert 0 < one["exp"] - one["iat"] <= MAX_LIFETIME_SECONDS
    assert one["jti"] != other["jti"]


def test_a_key_that_is_not_there_stops_the_start(tmp_path: Path):
    with pytest.raises(SettingsError, match=r"upstream\.key"):
        upstream_token(Home(tmp_path), settings(client="relais", key="missing.jwk"), CLOCK)
