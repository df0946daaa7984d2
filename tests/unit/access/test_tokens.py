from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from unittest.mock import patch

import jwt.algorithms
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.access import tokens
from service.access.tokens import MAX_TOKEN_CHARS, TRIALS_WITHOUT_KID, verify_token
from service.errors import AccessError, ClientSuspended, TokenExpired, TokenInvalid
from service.jwk import PrivateKey
from tests.unit.access.forge import AUDIENCE, MISSING, NOW, Bench, T, client, new_ec, new_ed
from tests.unit.access.forgeries import P256_ORDER, ec_numbers, ec_raw, unsigned, with_signature
from tests.unit.access.wrong_signatures import FORGERIES

BENCH = Bench()


def later(seconds: float) -> dt.datetime:
    return NOW + dt.timedelta(seconds=seconds)


def verify(token: str, bench: Bench = BENCH, now: dt.datetime = NOW) -> str:
    return verify_token(token, bench.clients.get, AUDIENCE, now).client_id


def refusal(token: str, bench: Bench = BENCH, now: dt.datetime = NOW) -> AccessError:
    with pytest.raises(AccessError) as caught:
        verify(token, bench, now)
    return caught.value


# --- what is accepted --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [BENCH.owner, BENCH.owner_ec], ids=["eddsa", "es256"])
def test_a_token_signed_by_a_registered_key_names_its_client_and_key(key: PrivateKey):
    claims = verify_token(BENCH.token(key), BENCH.clients.get, AUDIENCE, NOW)
    assert (claims.client_id, claims.kid, claims.expires_at, claims.jti) == ("pharmacy-a", key.kid, T + 300, "j-1")


def test_claims_that_are_not_read_do_no_harm():
    assert verify(BENCH.token(scope="rights", nested={"a": [1, 2.5, None]})) == "pharmacy-a"


def test_jti_may_have_128_characters():
    assert verify(BENCH.token(jti="j" * 128)) == "pharmacy-a"


def test_lifetime_may_be_ten_minutes():
    assert verify(BENCH.token(exp=T + 600)) == "pharmacy-a"


def test_a_token_of_the_greatest_size_is_read():
    short = BENCH.token(pad="")
    token = BENCH.token(pad="x" * ((MAX_TOKEN_CHARS - len(short)) * 3 // 4 - 2))
    assert MAX_TOKEN_CHARS - 8 < len(token) <= MAX_TOKEN_CHARS
    assert verify(token) == "pharmacy-a"


def test_the_header_may_be_in_any_order_and_spaced():
    text = f'{{ "typ" : "JWT", "kid" : "{BENCH.owner.kid}", "alg" : "EdDSA" }}'
    assert verify(BENCH.raw_header(text)) == "pharmacy-a"


def test_without_kid_both_keys_of_a_rotation_are_tried():
    former, next_one = new_ed(), new_ed()
    bench = Bench(clients={})
    bench.clients["pharmacy-a"] = client("pharmacy-a", former, next_one)
    for key in (former, next_one):
        assert verify_token(bench.token(key, header={"kid": MISSING}), bench.clients.get, AUDIENCE, NOW).kid == key.kid


def test_with_more_keys_than_trials_the_token_must_name_its_key():
    keys = [new_ed() for _ in range(TRIALS_WITHOUT_KID + 1)]
    bench = Bench()
    bench.clients["pharmacy-a"] = client("pharmacy-a", *keys)
    assert verify(bench.token(keys[0]), bench) == "pharmacy-a"
    assert isinstance(refusal(bench.token(keys[0], header={"kid": MISSING}), bench), TokenInvalid)


def test_the_mirror_image_of_an_ecdsa_signature_gives_nothing_more_than_the_token_itself():
    # (r, n - s) is as true a signature as (r, s) and signers produce either; a token is reusable until it expires,
    # so a second spelling of it grants nothing. What counts is that it names the same client, key and end.
    token, r, s = ec_numbers(BENCH)
    mirrored = with_signature(token, ec_raw(r, P256_ORDER - s))
    original = verify_token(token, BENCH.clients.get, AUDIENCE, NOW)
    assert verify_token(mirrored, BENCH.clients.get, AUDIENCE, NOW) == original


# --- forgeries ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FORGERIES)
def test_forgery_is_invalid_and_the_text_does_not_tell_which(name: str):
    error = refusal(FORGERIES[name](BENCH))
    assert type(error) is TokenInvalid
    assert error.args == refusal("not.a.token").args
    assert error.__cause__ is None


def test_the_bench_itself_is_sound():
    # Every forgery bends one thing: a bench that only made bad tokens would prove nothing.
    assert len(FORGERIES) >= 250
    assert verify(BENCH.token()) == "pharmacy-a"


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forgery_does_not_say_that_a_client_is_suspended(name: str):
    bench = Bench(owner=BENCH.owner, owner_ec=BENCH.owner_ec, thief=BENCH.thief, stranger=BENCH.stranger)
    for client_id in list(bench.clients):
        bench.clients[client_id] = client(client_id, *_keys(bench, client_id), suspended=True)
    assert type(refusal(FORGERIES[name](bench), bench)) is TokenInvalid


def _keys(bench: Bench, client_id: str) -> tuple[PrivateKey, ...]:
    return (bench.owner, bench.owner_ec) if client_id == "pharmacy-a" else (bench.thief,)


@given(st.text(max_size=200))
def test_any_text_is_refused_alike(text: str):
    assert type(refusal(text)) is TokenInvalid


@given(st.integers(min_value=0), st.integers(min_value=0, max_value=127))
def test_any_changed_character_is_refused(position: int, code: int):
    token = GOOD
    position %= len(token)
    changed = token[:position] + chr(code) + token[position + 1 :]
    if changed != token:
        assert type(refusal(changed)) is TokenInvalid


GOOD = BENCH.token()


@given(
    st.dictionaries(
        st.sampled_from(["iss", "sub", "aud", "iat", "exp", "nbf", "jti"]),
        st.recursive(
            st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=5),
            lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
            max_leaves=4,
        ),
        min_size=1,
    )
)
def test_claims_of_any_other_type_never_pass(claims: dict[str, object]):
    text_jti = isinstance(claims.get("jti"), str) and len(claims) == 1
    if not text_jti:
        assert type(refusal(BENCH.token(**claims))) is TokenInvalid


# --- time --------------------------------------------------------------------------------------------------------


def test_leeway_on_exp_is_120_seconds():
    token = BENCH.token()
    assert verify(token, now=later(419.999)) == "pharmacy-a"
    assert isinstance(refusal(token, now=later(420)), TokenExpired)


@pytest.mark.parametrize("claim", ["iat", "nbf"])
def test_leeway_on_the_beginning_is_120_seconds(claim: str):
    token = BENCH.token(**{claim: T + 120})
    assert verify(token) == "pharmacy-a"
    assert isinstance(refusal(token, now=later(-1)), TokenInvalid)


def test_expired_is_said_only_to_the_holder_of_the_key():
    old = {"iat": T - 10_000, "exp": T - 9_700}
    assert isinstance(refusal(BENCH.token(**old)), TokenExpired)
    for forged in (
        BENCH.token(BENCH.thief, header={"kid": BENCH.owner.kid}, **old),
        BENCH.token(iss="pharmacy-z", sub="pharmacy-z", **old),
        BENCH.token(aud="relais-droits-admin", **old),
        unsigned(BENCH, "none"),
    ):
        assert type(refusal(forged)) is TokenInvalid


@pytest.mark.parametrize("exp", [0, -5, 1])
def test_times_long_past_are_expired(exp: int):
    assert isinstance(refusal(BENCH.token(iat=exp - 300, exp=exp)), TokenExpired)


def test_suspended_is_said_only_to_the_holder_of_the_key():
    bench = Bench()
    bench.clients["pharmacy-a"] = client("pharmacy-a", bench.owner, suspended=True)
    assert isinstance(refusal(bench.token(), bench), ClientSuspended)
    assert type(refusal(bench.token(bench.thief, header={"kid": bench.owner.kid}), bench)) is TokenInvalid
    assert isinstance(refusal(bench.token(iat=T - 10_000, exp=T - 9_700), bench), TokenExpired)


# --- same work ---------------------------------------------------------------------------------------------------


class Count:
    """Signature verifications, by what PyJWT calls for each."""

    def __init__(self) -> None:
        self.eddsa = self.es256 = 0


def work(token: str, bench: Bench) -> tuple[int, int]:
    count = Count()

    def counting(name: str, real: Callable[..., bool]) -> Callable[..., bool]:
        def verify_counted(*arguments: object) -> bool:
            setattr(count, name, getattr(count, name) + 1)
            return real(*arguments)

        return verify_counted

    okp, ecdsa = jwt.algorithms.OKPAlgorithm, jwt.algorithms.ECAlgorithm
    with (
        patch.object(okp, "verify", counting("eddsa", okp.verify)),
        patch.object(ecdsa, "verify", counting("es256", ecdsa.verify)),
    ):
        assert type(refusal(token, bench)) is TokenInvalid
    return count.eddsa, count.es256


def who_is_asked_for(bench: Bench, key: PrivateKey, header: dict[str, object]) -> dict[str, str]:
    """The same bad signature under the name of a client that is unknown, known, suspended, with few or many keys."""
    names = ["unknown", "known", "suspended", "many-keys", "other-alg"]
    return {name: bench.token(key, header=header, iss=name, sub=name) for name in names}


@pytest.mark.parametrize("make", [new_ed, new_ec], ids=["eddsa", "es256"])
@pytest.mark.parametrize("named", ["a kid nobody has", "no kid", "the kid of the known client", "of another alg"])
def test_unknown_suspended_and_known_clients_cost_the_same_verifications(make: Callable[[], PrivateKey], named: str):
    bench = Bench()
    key, forger = make(), make()
    other = new_ec() if make is new_ed else new_ed()
    bench.clients = {
        "known": client("known", key),
        "suspended": client("suspended", key, suspended=True),
        "many-keys": client("many-keys", *[make() for _ in range(5)]),
        "other-alg": client("other-alg", other),
    }
    kid = {
        "a kid nobody has": "x" * 43,
        "no kid": MISSING,
        "the kid of the known client": key.kid,
        "of another alg": other.kid,
    }[named]
    costs = {name: work(token, bench) for name, token in who_is_asked_for(bench, forger, {"kid": kid}).items()}
    trials = TRIALS_WITHOUT_KID if kid is MISSING else 1
    assert set(costs.values()) == {(trials, 0) if make is new_ed else (0, trials)}


def test_whoever_held_the_key_that_is_tried_in_vain_would_gain_nothing():
    held = new_ed()
    with patch.dict(tokens._DUMMIES, {"EdDSA": held.public}):
        for client_id in ("pharmacy-a", "pharmacy-z"):
            for kid in (MISSING, held.kid):
                assert work(BENCH.token(held, header={"kid": kid}, iss=client_id, sub=client_id), BENCH)[0] >= 1


def test_what_is_refused_by_form_costs_no_verification():
    assert work(json.dumps({"payload": "e30"}), BENCH) == (0, 0)
    assert work(BENCH.token(aud=[AUDIENCE]), BENCH) == (0, 0)
