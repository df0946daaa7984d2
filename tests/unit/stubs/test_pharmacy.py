from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import ECAlgorithm, OKPAlgorithm

from stubs import pharmacy
from stubs.connection import Signer
from stubs.pharmacy import ask
from tests.unit.stubs.counterpart import CLIENT, Office, Service, public_jwk, thumbprint

QUERY = b'{"beneficiary": {"nir": "185057511600159", "birth_date": "1985-05-12", "birth_rank": 1}}'
Serve = Callable[[web.Application], Awaitable[TestServer]]


@pytest.fixture
def key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


@pytest.fixture
def key_file(tmp_path: Path, key: Ed25519PrivateKey) -> Path:
    file = tmp_path / "pharmacy.jwk"
    file.write_text(json.dumps({**OKPAlgorithm.to_jwk(key, as_dict=True), "kid": thumbprint(key), "use": "sig"}))
    return file


@pytest.fixture
def service(key: Ed25519PrivateKey) -> Service:
    return Service(Office(), key.public_key())


async def at_counter(serve: Serve, service: Service, key_file: Path) -> tuple[int, str]:
    server = await serve(service.app())
    return await ask(str(server.make_url("/")), Signer(CLIENT, key_file), QUERY)


def test_a_token_has_the_claims_of_a_client_assertion(key_file: Path, key: Ed25519PrivateKey):
    token = Signer(CLIENT, key_file).mint(1_707_125_412)
    claims = jwt.decode(token, options={"verify_signature": False})
    assert jwt.get_unverified_header(token) == {"alg": "EdDSA", "kid": thumbprint(key), "typ": "JWT"}
    assert claims.pop("jti")
    same = {"iss": CLIENT, "sub": CLIENT, "aud": "relais-droits"}
    assert claims == {**same, "iat": 1_707_125_412, "exp": 1_707_125_712}


def test_a_token_is_used_again_until_it_ages(key_file: Path, monkeypatch: pytest.MonkeyPatch):
    signer = Signer(CLIENT, key_file)
    first = signer.token()
    assert signer.token() == first
    monkeypatch.setattr(signer, "_until", 0.0)
    assert signer.token() != first


def test_a_p256_key_signs_with_es256(tmp_path: Path):
    secret = ec.generate_private_key(ec.SECP256R1())
    (tmp_path / "key").write_text(ECAlgorithm.to_jwk(secret))
    token = Signer(CLIENT, tmp_path / "key").mint(0)
    assert jwt.get_unverified_header(token) == {"alg": "ES256", "typ": "JWT"}


async def test_an_answer_is_told_to_the_counter_with_its_proof(aiohttp_server: Serve, service: Service, key_file: Path):
    status, text = await at_counter(aiohttp_server, service, key_file)
    assert status == 0
    assert text.splitlines() == [
        "DROITS OUVERTS (mode secours) le 2024-02-05 : tiers payant possible, sans garantie de paiement",
        "  Mutuelle Exemple Azur (0990000011) : droits ouverts, adhérent EX000001, du 2023-01-01 au …, PH7 100 % TR",
        "  ! Service de secours Écume",
        "Droits ouverts selon les données de secours.",
        "Reçu vérifié : journal j-1, entrée 103, 2024-02-05T09:30:12.123Z",
    ]
    assert "185057511600159" not in text


async def test_an_answer_whose_receipt_proves_nothing_is_not_shown(
    aiohttp_server: Serve, service: Service, key_file: Path
):
    service.spoil = lambda response: response["answer"].update(status="closed")
    status, text = await at_counter(aiohttp_server, service, key_file)
    assert (status, text) == (1, "Reçu refusé : path: the answer does not lead to the signed root")


async def test_a_key_set_that_is_none_is_a_refused_receipt(
    aiohttp_server: Serve, service: Service, key_file: Path, monkeypatch: pytest.MonkeyPatch
):
    async def jwks(request: web.Request) -> web.Response:
        return web.Response(text="<html>")

    monkeypatch.setattr(service, "jwks", jwks)
    assert (await at_counter(aiohttp_server, service, key_file))[0] == 1


def problem(number: int) -> web.Response:
    body = {"type": "/problems/no_snapshot", "counter_text": "Consultez la carte.", "detail": "no snapshot"}
    return web.json_response(body, status=503)


async def test_a_problem_is_told_in_the_words_for_the_counter(aiohttp_server: Serve, service: Service, key_file: Path):
    service.fault = problem
    status, text = await at_counter(aiohttp_server, service, key_file)
    assert (status, text) == (1, "Consultez la carte. [503 /problems/no_snapshot: no snapshot]")


async def test_a_page_instead_of_a_problem_is_survived(aiohttp_server: Serve, service: Service, key_file: Path):
    service.fault = lambda _number: web.Response(text="<html>", status=502)
    assert await at_counter(aiohttp_server, service, key_file) == (1, "Réponse illisible [502]")


async def test_a_service_that_is_away_is_status_three(key_file: Path):
    status, text = await ask(f"http://127.0.0.1:{unused_port()}", Signer(CLIENT, key_file), QUERY)
    assert status == 3
    assert text.startswith("Service injoignable")


def test_the_command_reads_its_question_from_a_file(
    tmp_path: Path, key_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "open.json").write_bytes(QUERY)
    asked: list[Any] = []

    async def spy(url: str, signer: Signer, query: bytes) -> tuple[int, str]:
        asked.extend((url, query))
        return 0, "bien"

    monkeypatch.setattr(pharmacy, "ask", spy)
    assert pharmacy.main(f"ask --client c --key {key_file} --query {tmp_path}/open.json".split()) == 0
    assert asked == ["http://127.0.0.1:8080", QUERY]
    assert capsys.readouterr().out == "bien\n"


def test_a_public_key_alone_is_no_key_to_sign_with(
    tmp_path: Path, key: Ed25519PrivateKey, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "public").write_text(json.dumps(public_jwk(key)))
    assert pharmacy.main(f"ask --client c --key {tmp_path}/public".split()) == 2
    assert pharmacy.main(f"ask --client c --key {tmp_path}/absent".split()) == 2
    assert "no private JWK" in capsys.readouterr().err
