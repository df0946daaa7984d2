"""Writes signature_vectors.json: good and bad signatures of every class that Project Wycheproof has for our algorithms.

    python -m tests.data.make_signature_vectors

`class` is what Wycheproof calls it (eddsa_verify, ecdsa_p1363_verify and json_web_signature of testvectors_v1, their
notes' names or, for JWS, the tests'); the vectors are our own, made here by plain arithmetic. Its TinkOverflow and
InvalidKtv stand for particular numbers, and ModifiedPadding is RSA's: those are not here. Classes that begin with
`Ours:` are not Wycheproof's.

Each vector is made four times, over the signing inputs of a token, a receipt's head, an order and a manifest.
Everything is fixed: running it again gives the same bytes.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import orjson

from service.base64url import b64u, b64u_decode
from tests.data.curves import EdKey
from tests.data.ecdsa_cases import ec_cases
from tests.data.eddsa_cases import ED, ed_cases, ed_jwk
from tests.data.signature_inputs import PURPOSES, Case, signing_input

FILE: Final = Path(__file__).with_name("signature_vectors.json")


def jws_vectors(purpose: str) -> Iterator[dict[str, Any]]:
    """Whole texts, by the names of Wycheproof's tests."""
    stranger = EdKey(bytes([44]) * 32)
    message = signing_input(purpose, "EdDSA")
    head, body = message.split(".")
    signature = b64u(ED.sign(message.encode("ascii")))
    header = json.loads(b64u_decode(head))

    def headed(signer: Callable[[bytes], bytes], **members: Any) -> str:
        text = f"{b64u(json.dumps({**header, **members}).encode())}.{body}"
        return f"{text}.{b64u(signer(text.encode('ascii')))}"

    other = chr(ord(signature[0]) ^ 1)
    texts = {
        "acceptsValid": f"{message}.{signature}",
        "rejectsModifiedSignature": f"{message}.{other}{signature[1:]}",
        "rejectsMissingSignature": f"{message}.",
        "rejectsMissingSignatureAndSeparator": message,
        "rejectsModifiedPayload": f"{head}.{signing_input(purpose, 'EdDSA', 1).split('.')[1]}.{signature}",
        "rejectsMissingPayload": f"{head}..{signature}",
        "rejectsMissingPayloadAndSeparator": f"{head}.{signature}",
        "rejectsModifiedHeader": f"{b64u(json.dumps({**header, 'kid': 'signer2'}).encode())}.{body}.{signature}",
        "rejectsMissingHeader": f".{body}.{signature}",
        "rejectsMissingHeaderAndSeparator": f"{body}.{signature}",
        "rejectsMissingHeaderAndSignature": f".{body}.",
        "rejectsMissingHeaderSignatureAndSeparators": body,
        "rejectsEmptyString": "",
        "rejectsExtraEmptyComponent": f"{message}.{signature}.",
        "rejectsExtraComponent": f"{message}.{signature}.{body}",
        "rejectsNoneAlgorithmAndMissingSignature": headed(lambda _: b"", alg="none"),
        "rejectsValidJsonSerialization": json.dumps(
            {"payload": body, "signatures": [{"protected": head, "signature": signature}]}
        ),
        "rejectsSymmetryConfusionAttacks": headed(lambda raw: hmac.digest(ED.public, raw, "sha256"), alg="HS256"),
        "rejectsAttackerProvidedEmbeddedJwk": headed(stranger.sign, jwk=ed_jwk(stranger)),
        "AlgIsNone": headed(ED.sign, alg="none"),
        "WrongPrimitive": headed(ED.sign, alg="ES256"),
        "Ours: padded": f"{message}.{signature}==",
        "Ours: loose bits": f"{message}.{signature[:-1]}{chr(ord(signature[-1]) + 1)}",
    }
    for name, text in texts.items():
        yield {"class": name, "purpose": purpose, "valid": name == "acceptsValid", "jwk": ed_jwk(ED), "text": text}


def vector(case: Case) -> list[dict[str, Any]]:
    """One vector for each purpose."""
    made = []
    for purpose in PURPOSES:
        signed = case.make(purpose)
        made.append(
            {
                "class": case.group,
                "case": case.name,
                "purpose": purpose,
                "valid": case.valid,
                "jwk": signed.jwk,
                "text": f"{signed.message}.{b64u(signed.signature)}",
            }
        )
    return made


def make() -> bytes:
    vectors = {
        "ed25519": [one for case in ed_cases() for one in vector(case)],
        "ecdsa_p256": [one for case in ec_cases() for one in vector(case)],
        "jws": [one for purpose in PURPOSES for one in jws_vectors(purpose)],
    }
    lines = {name: b",\n".join(orjson.dumps(one) for one in many) for name, many in vectors.items()}
    return b"{\n" + b",\n".join(b'"%s": [\n%s\n]' % (name.encode(), text) for name, text in lines.items()) + b"\n}\n"


if __name__ == "__main__":
    FILE.write_bytes(make())
