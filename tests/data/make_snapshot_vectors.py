"""Makes snapshot_vectors.json: run it only for a new format, never to make a failing test pass.

.venv/bin/python tests/data/make_snapshot_vectors.py > tests/data/snapshot_vectors.json
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import json
import sys
from typing import Any

import msgspec

from service.rights.model import Contract, Suspension
from service.snapshot.entries import CANARY, encode_contract, encode_entry, encode_tombstone, pad
from service.snapshot.seal import LAYER_LABEL, PROBE_IDENTITY, LayerKey, seal

PEPPER = bytes(range(32))
SALT = bytes(range(0xA0, 0xB0))

#: Of a delta over the layer above: another pepper came since.
DELTA_PEPPER = bytes(range(32, 64))
DELTA_SALT = bytes(range(0xB0, 0xC0))

SIMPLE = Contract(
    amc="0775671993",
    member="M0012345",
    csr="",
    convention="RO",
    payer_rank=1,
    valid_from=dt.date(2023, 1, 1),
    valid_to=dt.date(2024, 12, 31),
    card_valid_to=None,
    closed_on=None,
    suspended=(),
    responsible=True,
    domains=("PHAR",),
    rates={"PH7": 100, "PH4": 100},
    rate_base="TR",
)
RICH = Contract(
    amc="0012345678",
    member="12-A/34.B",
    csr="CSR000001",
    convention="AC",
    payer_rank=2,
    valid_from=dt.date(1969, 12, 31),
    valid_to=None,
    card_valid_to=dt.date(2024, 12, 31),
    closed_on=dt.date(2024, 2, 1),
    suspended=(Suspension(dt.date(2024, 1, 10), None), Suspension(dt.date(2023, 6, 1), dt.date(2023, 6, 30))),
    responsible=False,
    domains=("PHAR", "OPTI", "PHAR"),
    rates={"PH7": 35, "LPP": 250, "PH1": 0},
    rate_base="TM",
)
CASES: list[tuple[str, str, int, list[Contract] | None]] = [
    ("one contract", "nir|1850575116001|1985-05-12|1", 0, [SIMPLE]),
    ("two contracts, canary, lunar date, Corsica", "nir|185052A004010|1985-00-41|2", CANARY, [SIMPLE, RICH]),
    ("by member", "amc|0012345678|12-A/34.B|1985-00-41|2", 0, [RICH]),
    ("no contract", "nir|2990375116042|1999-03-01|1", 0, []),
    ("tombstone", "nir|1021897411010|2002-02-29|9", 0, None),
]
DELTA_CASES: list[tuple[str, str, int, list[Contract] | None]] = [
    ("changed", "nir|1850575116001|1985-05-12|1", 0, [SIMPLE, RICH]),
    ("new", "nir|2750863119042|1975-08-30|1", 0, [SIMPLE]),
    ("gone", "amc|0012345678|12-A/34.B|1985-00-41|2", 0, None),
]


def vector(key: LayerKey, identity: str, plaintext: bytes) -> dict[str, str]:
    derived = key.derive(identity)
    return {
        "identity": identity,
        "record_key": derived[:16].hex(),
        "aes_key": derived[16:48].hex(),
        "nonce": derived[48:60].hex(),
        "plaintext": plaintext.hex(),
        "sealed": seal(derived, plaintext, key.salt).hex(),
    }


def delta_vector(key: LayerKey, base: LayerKey, identity: str, plaintext: bytes, *, gone: bool) -> dict[str, str]:
    """A live entry has its key from its identity, a tombstone from its place; both lie at their place."""
    base_record_key = base.derive(identity)[:16]
    place = key.place(base_record_key)
    derived = place if gone else key.derive(identity)
    return {
        "identity": identity,
        "base_record_key": base_record_key.hex(),
        "place": place.hex(),
        "record_key": place[:16].hex(),
        "aes_key": derived[16:48].hex(),
        "nonce": derived[48:60].hex(),
        "plaintext": plaintext.hex(),
        "sealed": seal(derived, plaintext, key.salt).hex(),
    }


def entry(flags: int, contracts: list[Contract] | None) -> bytes:
    return encode_tombstone() if contracts is None else encode_entry(flags, sorted(map(encode_contract, contracts)))


def vectors() -> dict[str, Any]:
    key = LayerKey(PEPPER, SALT)
    return {
        "pepper": PEPPER.hex(),
        "salt": SALT.hex(),
        "layer_key": hmac.digest(PEPPER, LAYER_LABEL + SALT, hashlib.sha512).hex(),
        "probe": vector(key, PROBE_IDENTITY, pad(SALT)),
        "entries": [
            {
                "name": name,
                "flags": flags,
                "contracts": msgspec.to_builtins(contracts),
                **vector(key, identity, entry(flags, contracts)),
            }
            for name, identity, flags, contracts in CASES
        ],
        "delta": delta_vectors(key),
    }


def delta_vectors(base: LayerKey) -> dict[str, Any]:
    key = LayerKey(DELTA_PEPPER, DELTA_SALT)
    return {
        "pepper": DELTA_PEPPER.hex(),
        "salt": DELTA_SALT.hex(),
        "layer_key": hmac.digest(DELTA_PEPPER, LAYER_LABEL + DELTA_SALT, hashlib.sha512).hex(),
        "probe": vector(key, PROBE_IDENTITY, pad(DELTA_SALT)),
        "records": [
            {
                "name": name,
                "flags": flags,
                "contracts": msgspec.to_builtins(contracts),
                **delta_vector(key, base, identity, entry(flags, contracts), gone=contracts is None),
            }
            for name, identity, flags, contracts in DELTA_CASES
        ],
    }


if __name__ == "__main__":
    json.dump(vectors(), sys.stdout, indent=1)
    sys.stdout.write("\n")
