from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from service.base64url import b64u
from service.errors import KeyRejected
from service.snapshot.pepper import load_peppers

ONE, TWO = bytes(range(32)), bytes(range(64))


def jwk(kid: Any = "p-1", secret: bytes = ONE, **members: Any) -> dict[str, Any]:
    return {"kty": "oct", "kid": kid, "k": b64u(secret), **members}


def load(folder: Path, document: Any) -> dict[str, bytes]:
    path = folder / "pepper.jwk"
    path.write_text(document if isinstance(document, str) else json.dumps(document), "utf-8")
    return load_peppers(path)


def test_peppers_come_by_kid_in_the_order_of_the_file(tmp_path: Path):
    found = load(tmp_path, {"keys": [jwk("p-2", TWO), jwk()]})
    assert list(found.items()) == [("p-2", TWO), ("p-1", ONE)]


def test_a_single_jwk_is_a_set_of_one(tmp_path: Path):
    assert load(tmp_path, jwk()) == {"p-1": ONE}


@pytest.mark.parametrize(
    "document",
    [
        "not json",
        [],
        {},
        {"keys": []},
        {"keys": jwk()},
        {"keys": ["x"]},
        {"keys": [jwk(), jwk()]},
        {"keys": [jwk(kid=None)]},
        {"keys": [jwk(kid="")]},
        {"keys": [jwk(kty="OKP")]},
        {"keys": [jwk(k=3)]},
        {"keys": [jwk(k=b64u(ONE) + "=")]},
        {"keys": [jwk(secret=ONE[:31])]},
    ],
)
def test_any_other_pepper_file_is_refused_without_showing_it(tmp_path: Path, document: Any):
    with pytest.raises(KeyRejected) as caught:
        load(tmp_path, document)
    assert b64u(ONE)[:20] not in str(caught.value)


def test_an_absent_file_is_an_os_error(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        load_peppers(tmp_path / "absent")
