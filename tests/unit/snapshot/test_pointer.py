from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.base64url import sha256_b64u
from service.errors import DepotRejected
from service.snapshot.manifest import MAX_INTEGER, BaseRef, Counts, Manifest
from service.snapshot.pointer import MAX_POINTER_BYTES, depot_path, encode_pointer, parse_pointer, pointer_to
from tests.unit.snapshot.snapshot_maker import NOW, PEPPER_KID, amc_entry

DIGEST = sha256_b64u(b"a manifest")
BASE_DIGEST = sha256_b64u(b"its base")
POINTER = {
    "format": "relais-latest/1",
    "sequence": 12,
    "digest": DIGEST,
    "path": f"snapshots/12-{DIGEST[:16]}",
    "base": None,
}


def manifest(base: BaseRef | None) -> Manifest:
    return Manifest(
        format="relais-snapshot/1",
        kind="delta" if base else "base",
        sequence=12,
        created_at=NOW,
        valid_until=NOW,
        base=base,
        salt=None,
        pepper_kid=PEPPER_KID,
        files=(),
        counts=Counts(0, 0, 0, 0, 0),
        amcs=(amc_entry(),),
    )


def test_a_pointer_is_the_same_after_a_round_trip_and_names_a_deltas_base():
    over = pointer_to(manifest(BaseRef(9, BASE_DIGEST)), DIGEST)
    assert parse_pointer(encode_pointer(over)) == over
    assert json.loads(encode_pointer(over)) == {
        **POINTER,
        "base": {"sequence": 9, "digest": BASE_DIGEST, "path": f"snapshots/9-{BASE_DIGEST[:16]}"},
    }
    assert json.loads(encode_pointer(pointer_to(manifest(None), DIGEST))) == POINTER


@given(sequence=st.integers(1, MAX_INTEGER), content=st.binary())
def test_every_snapshot_has_one_path_that_only_its_own_pointer_leads_to(sequence: int, content: bytes):
    digest = sha256_b64u(content)
    path = depot_path(sequence, digest)
    pointer = parse_pointer(json.dumps({**POINTER, "sequence": sequence, "digest": digest, "path": path}).encode())
    assert pointer.path == path
    assert len(encode_pointer(pointer)) < MAX_POINTER_BYTES


@pytest.mark.parametrize(
    "change",
    [
        {"path": "snapshots/../../etc/passwd"},
        {"path": f"/snapshots/12-{DIGEST[:16]}"},
        {"path": f"other/snapshots/12-{DIGEST[:16]}"},
        {"path": f"snapshots/13-{DIGEST[:16]}"},
        {"path": f"snapshots/12-{BASE_DIGEST[:16]}"},
        {"sequence": 0},
        {"sequence": MAX_INTEGER + 1},
        {"sequence": "12"},
        {"sequence": 12.0},
        {"digest": DIGEST[:-1]},
        {"digest": "../" + DIGEST[3:]},
        {"format": "relais-latest/2"},
        {"base": {"sequence": 9, "digest": BASE_DIGEST, "path": "snapshots/../x"}},
        {"more": 1},
    ],
    ids=str,
)
def test_a_pointer_that_leads_elsewhere_or_says_something_else_is_refused(change: dict[str, Any]):
    with pytest.raises(DepotRejected):
        parse_pointer(json.dumps({**POINTER, **change}).encode())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b"\xff\xfe",
        b"<html>",
        b'{"format":"relais-latest/1"}',
        b'{"sequence":1,"sequence":2}',
        b"[" * 4000,
        b"9" * 4096,
        b"NaN",
    ],
    ids=str,
)
def test_garbage_is_refused(data: bytes):
    with pytest.raises(DepotRejected):
        parse_pointer(data)
