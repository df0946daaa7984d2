from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.base64url import sha256_b64u
from service.errors import SnapshotRefused
from service.rights.model import Guarantee, OnUnknown, StandIn
from service.snapshot.manifest import (
    MAX_INTEGER,
    AmcEntry,
    BaseRef,
    Counts,
    FileEntry,
    Manifest,
    encode_manifest,
    parse_manifest,
)
from service.snapshot.steps import Step
from service.strictjson import canonical
from tests.unit.snapshot.snapshot_maker import NOW, PEPPER_KID, amc_entry


def manifest(**changes: Any) -> Manifest:
    values: dict[str, Any] = {
        "format": "relais-snapshot/1",
        "kind": "base",
        "sequence": 1,
        "created_at": NOW,
        "valid_until": NOW + dt.timedelta(days=7),
        "base": None,
        "salt": "A" * 22,
        "pepper_kid": PEPPER_KID,
        "files": (FileEntry("records.lmdb", 1, sha256_b64u(b"")),),
        "counts": Counts(1, 1, 1, 0, 0),
        "amcs": (amc_entry(),),
    }
    return Manifest(**{**values, **changes})


counts = st.integers(0, MAX_INTEGER)
days = st.integers(0, 3660)
instants = st.datetimes(dt.datetime(2000, 1, 1), dt.datetime(2100, 1, 1), timezones=st.just(dt.UTC))  # noqa: DTZ001
texts = st.text(min_size=1, max_size=50).filter(str.isprintable)
guarantees = st.builds(
    Guarantee,
    basis=texts,
    until=st.none() | st.dates(),
    ceiling_cents=st.none() | st.integers(0, 10**9),
)
policies = st.builds(
    StandIn,
    allowed=st.booleans(),
    renewal_grace_days=days,
    closed_trust_days=days,
    max_age_days=days,
    on_unknown=st.sampled_from(OnUnknown),
    history_days=days,
    guarantee=st.none() | guarantees,
)
amcs = st.builds(
    AmcEntry,
    amc=st.from_regex(r"\A[0-9]{10}\Z"),
    name=texts,
    extracted_at=instants,
    people=st.integers(0, 99),
    contracts=st.integers(100, MAX_INTEGER),
    open=st.integers(0, 100),
    closed=st.integers(0, 100),
    suspended=st.integers(0, 100),
    stand_in=policies,
)
manifests = st.builds(
    manifest,
    sequence=st.integers(1, MAX_INTEGER),
    created_at=instants,
    valid_until=instants,
    counts=st.builds(Counts, counts, counts, counts, counts, counts),
    amcs=st.lists(amcs, min_size=1, max_size=4, unique_by=lambda entry: entry.amc).map(tuple),
)


@given(manifests)
def test_what_is_encoded_is_parsed_back_and_has_one_form(value: Manifest):
    payload = encode_manifest(value)
    assert parse_manifest(payload) == value
    assert encode_manifest(parse_manifest(payload)) == payload
    assert payload == canonical(msgspec.json.decode(payload))


def test_every_member_is_present_and_instants_end_in_z():
    value = msgspec.json.decode(encode_manifest(manifest()))
    assert set(value) == set(Manifest.__struct_fields__)
    assert value["created_at"] == "2024-02-05T09:30:00Z"
    assert value["base"] is None
    assert value["amcs"][0]["stand_in"]["guarantee"] is None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"sequence":1', b'"sequence":1,"sequence":1'),
        (b'"sequence":1', b'"sequence":0'),
        (b'"sequence":1', b'"sequence":9223372036854775808'),
        (b'"sequence":1', b'"sequence":true'),
        (b'"sequence":1', b'"sequence":1.0'),
        (b'"sequence":1', b'"sequence":NaN'),
        (b'"sequence":1', b'"sequence":"1"'),
        (b'"sequence":1', b'"sequence":1,"more":1'),
        (b"relais-snapshot/1", b"relais-snapshot/2"),
        (b'"kind":"base"', b'"kind":"whole"'),
        (b'"kind":"base"', b'"kind":"delta"'),
        (b"09:30:00Z", b"09:30:00"),
        (b"09:30:00Z", b"09:30:00+01:00"),
        (b'"max_age_days"', b'"max_age_day"'),
        (b'"allowed":true', b'"allowed":true,"allow_all":true'),
        (b'"allowed":true', b'"allowed":1'),
        (b'"max_age_days":30', b'"max_age_days":-1'),
        (b'"amc":"0775671993"', b'"amc":"775671993"'),
        (b'"amc":"0775671993"', '"amc":"٠٧٧٥٦٧١٩٩٣"'.encode()),
        (b'"open":9000', b'"open":10001'),
        (b'"people":10000', b'"people":10001'),
        (b'"salt":"AAAAAAAAAAAAAAAAAAAAAA"', b'"salt":null'),
        (b'"salt":"AAAAAAAAAAAAAAAAAAAAAA"', b'"salt":"AAAAAAAAAAAAAAAAAAAAAB"'),
        (b'"size":1', b'"size":-1'),
        (b'"name":"records.lmdb"', b'"name":""'),
    ],
)
def test_a_manifest_of_another_shape_is_refused(old: bytes, new: bytes):
    payload = encode_manifest(manifest())
    assert old in payload
    with pytest.raises(SnapshotRefused) as caught:
        parse_manifest(payload.replace(old, new, 1))
    assert caught.value.step == Step.FORMAT


@pytest.mark.parametrize("payload", [b"", b"null", b"[]", b"{}", b"\xff", b"[" * 100_000, b'{"a":' * 100_000])
def test_what_is_no_manifest_at_all_is_refused(payload: bytes):
    with pytest.raises(SnapshotRefused):
        parse_manifest(payload)


@pytest.mark.parametrize(
    "changes",
    [
        {"amcs": ()},
        {"amcs": (amc_entry(), amc_entry())},
        {"files": (FileEntry("a.db", 1, sha256_b64u(b"")), FileEntry("a.db", 1, sha256_b64u(b"")))},
        {"files": (), "salt": None},
        {"base": BaseRef(1, sha256_b64u(b""))},
    ],
    ids=["no AMC", "an AMC twice", "a file twice", "an empty base", "a base over a base"],
)
def test_a_manifest_that_contradicts_itself_is_refused(changes: dict[str, Any]):
    with pytest.raises(SnapshotRefused):
        parse_manifest(encode_manifest(manifest(**changes)))


def test_an_empty_delta_has_neither_files_nor_salt():
    value = manifest(kind="delta", base=BaseRef(1, sha256_b64u(b"")), files=(), salt=None)
    assert parse_manifest(encode_manifest(value)).salt_bytes == b""
