from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from service.access.tokens import LEEWAY_SECONDS, MAX_JTI_CHARS, MAX_LIFETIME_SECONDS, MAX_TOKEN_CHARS, verify_token
from service.clock import SystemClock
from service.jwk import PrivateKey, private_jwk
from tests.unit.access.forge import AUDIENCE, Bench

PAGE = (Path(__file__).parents[3] / "docs" / "tokens.md").read_text("utf-8")
BENCH = Bench()


@pytest.mark.parametrize("key", [BENCH.owner, BENCH.owner_ec], ids=["eddsa", "es256"])
def test_the_python_of_the_page_mints_a_token_we_accept(key: PrivateKey, tmp_path: Path):
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    file = tmp_path / "key.jwk"
    file.write_text(json.dumps(private_jwk(key.key)))
    names: dict[str, object] = {}
    exec(code, names)  # noqa: S102 - the page's own code
    mint = names["mint"]
    assert callable(mint)
    claims = verify_token(mint("pharmacy-a", str(file)), BENCH.clients.get, AUDIENCE, SystemClock().now())
    assert claims.kid == key.kid


@pytest.mark.parametrize(
    "limit",
    [
        f"at most {MAX_LIFETIME_SECONDS} seconds",
        f"{LEEWAY_SECONDS} seconds of leeway",
        f"at most {MAX_TOKEN_CHARS} characters",
        f"1 to {MAX_JTI_CHARS} characters",
    ],
)
def test_the_page_states_our_limits(limit: str):
    assert limit in PAGE
