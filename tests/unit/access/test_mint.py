from __future__ import annotations

import pytest

from service.access.mint import mint_token
from service.access.tokens import verify_token
from service.errors import OperatorError
from service.jwk import PrivateKey
from tests.unit.access.forge import AUDIENCE, NOW, Bench, T

BENCH = Bench()


@pytest.mark.parametrize("key", [BENCH.owner, BENCH.owner_ec], ids=["eddsa", "es256"])
@pytest.mark.parametrize("lifetime", [1, 300, 600])
def test_a_minted_token_is_accepted(key: PrivateKey, lifetime: int):
    token = mint_token("pharmacy-a", key, AUDIENCE, NOW, lifetime=lifetime, jti="0192")
    claims = verify_token(token, BENCH.clients.get, AUDIENCE, NOW)
    assert (claims.kid, claims.not_before, claims.expires_at, claims.jti) == (key.kid, T, T + lifetime, "0192")


@pytest.mark.parametrize("lifetime", [-1, 0, 601])
def test_a_lifetime_no_server_accepts_is_not_minted(lifetime: int):
    with pytest.raises(OperatorError):
        mint_token("pharmacy-a", BENCH.owner, AUDIENCE, NOW, lifetime=lifetime, jti="0192")
