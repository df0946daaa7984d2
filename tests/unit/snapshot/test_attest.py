from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import msgspec
import pytest

from service.base64url import sha256_b64u
from service.errors import BuildError
from service.jws import unverified_payload
from service.snapshot.attest import attest
from service.snapshot.build import build_snapshot
from service.snapshot.manifest import Manifest, parse_manifest
from tests.unit.snapshot.made_rows import NOW, POLICY, ndjson, nir_of, plan, row

LATER = NOW + dt.timedelta(days=2)
RENEWED = POLICY.replace("2024-01-28T22:00:00+01:00", "2024-01-30T22:00:00+01:00").replace(
    "Mutuelle des Vagues", "Mutuelle des Marées"
)


@pytest.fixture
def base(tmp_path: Path) -> Manifest:
    rows = [row(), row(nir=nir_of(1), amc="0012345678", closed_on="2024-01-10"), row(nir="x")]
    changes: dict[str, Any] = {"out": tmp_path / "base", "sequence": 4, "max_reject_share": 0.5}
    return build_snapshot(plan(tmp_path, ndjson(rows), **changes), NOW).manifest


def attested(folder: Path, policy: str = RENEWED, **changes: Any) -> Manifest:
    (folder / "renewed.toml").write_text(policy, "utf-8")
    values: dict[str, Any] = {"base": folder / "base", "sequence": 5, "now": LATER, **changes}
    return attest(policy=folder / "renewed.toml", out=folder / "attested", **values)


def test_the_same_data_get_new_dates_and_rules(tmp_path: Path, base: Manifest):
    made = attested(tmp_path, valid_for_days=3)
    (only,) = (tmp_path / "attested").iterdir()
    assert parse_manifest(unverified_payload(only.read_bytes())) == made
    payload = unverified_payload((tmp_path / "base" / "manifest.json").read_bytes())
    assert (made.kind, made.files, made.salt, made.pepper_kid) == ("delta", (), None, base.pepper_kid)
    assert made.base is not None
    assert (made.base.sequence, made.base.sha256) == (4, sha256_b64u(payload))
    assert (made.sequence, made.created_at, made.valid_until) == (5, LATER, LATER + dt.timedelta(days=3))
    assert made.counts == msgspec.structs.replace(base.counts, entries=0)
    for new, old in zip(made.amcs, base.amcs, strict=True):
        said = ("name", "extracted_at", "stand_in")
        assert msgspec.structs.replace(new, **{name: getattr(old, name) for name in said}) == old
    assert {entry.name for entry in made.amcs} == {entry.name for entry in base.amcs} - {"Mutuelle des Vagues"} | {
        "Mutuelle des Marées"
    }
    assert max(entry.extracted_at for entry in made.amcs) == dt.datetime(2024, 1, 30, 21, tzinfo=dt.UTC)


def refused(folder: Path, message: str, **changes: Any) -> None:
    with pytest.raises(BuildError, match=message):
        attested(folder, **changes)
    assert not (folder / "attested").exists()
    assert not [entry for entry in folder.iterdir() if entry.name.endswith(".build")]


@pytest.mark.usefixtures("base")
def test_the_policy_names_exactly_the_bases_amcs(tmp_path: Path):
    first, second = POLICY.index("[[amc]]"), POLICY.index("[[amc]]", POLICY.index("[[amc]]") + 1)
    less = POLICY[first:second]
    refused(tmp_path, "AMC 0012345678: it is in the base and not in the policy file", policy=less)
    more = POLICY + POLICY[first:second].replace("775671993", "0990000001")
    refused(tmp_path, "AMC 0990000001: the base holds no data of it", policy=more)


@pytest.mark.usefixtures("base")
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sequence": 4}, "sequence 4 does not follow that of the base, 4"),
        ({"valid_for_days": 46}, "1 to 45 days"),
        ({"now": NOW}, "AMC 0775671993 lies in the future"),
        ({"base": Path("/nonexistent")}, "the base /nonexistent is refused at step"),
    ],
)
def test_what_cannot_be_attested_is_refused(tmp_path: Path, changes: dict[str, Any], message: str):
    refused(tmp_path, message, **changes)


@pytest.mark.usefixtures("base")
def test_a_damaged_base_is_not_attested(tmp_path: Path):
    data = tmp_path / "base" / "records.lmdb"
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.chmod(0o644)
    data.write_bytes(content)
    refused(tmp_path, "SHA-256")


@pytest.mark.usefixtures("base")
def test_an_attestation_is_not_attested_but_its_base(tmp_path: Path):
    attested(tmp_path)
    (tmp_path / "attested").rename(tmp_path / "former")
    refused(tmp_path, "is a delta: name its base, the snapshot of sequence 4", base=tmp_path / "former", sequence=6)


@pytest.mark.usefixtures("base")
def test_nothing_is_attested_over_what_exists(tmp_path: Path):
    (tmp_path / "attested").mkdir()
    with pytest.raises(BuildError, match="exists"):
        attested(tmp_path)
