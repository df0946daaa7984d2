from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from service.errors import BuildError
from service.rights.model import Guarantee, OnUnknown, StandIn
from service.snapshot.policy import load_policy, parse_policy
from tests.unit.snapshot.made_rows import POLICY


def test_a_policy_is_read_by_amc_number():
    amcs = parse_policy(POLICY)
    assert list(amcs) == ["0012345678", "0775671993"]
    first, second = amcs.values()
    assert second.extracted_at == dt.datetime(2024, 1, 28, 21, tzinfo=dt.UTC)
    assert second.stand_in == StandIn(
        allowed=True,
        renewal_grace_days=31,
        closed_trust_days=7,
        max_age_days=30,
        on_unknown=OnUnknown.CHECK_CARD,
        history_days=0,
        guarantee=Guarantee("convention", dt.date(2024, 12, 31), 50_000),
    )
    assert (first.name, first.stand_in.guarantee) == ("Prévoyance du Nord", None)


def test_the_day_of_an_extract_is_the_day_in_paris():
    amcs = parse_policy(POLICY)
    assert amcs["0775671993"].extract_date == dt.date(2024, 1, 28)
    assert amcs["0012345678"].extract_date == dt.date(2024, 1, 28)  # 23:30 UTC on the 27th


@pytest.mark.parametrize(
    "instant", ["2024-01-28T22:00:00", "2024-01-28", '"2024-01-28T22:00:00+01:00"', "22:00:00", "1706475600"]
)
def test_an_extract_without_offset_is_refused(instant: str):
    with pytest.raises(BuildError, match="offset"):
        parse_policy(POLICY.replace("2024-01-28T22:00:00+01:00", instant))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("allowed = true", ""),
        ("allowed = true", "allowed = 1"),
        ("allowed = true", "allowed = true\nsurprise = 1"),
        ("renewal_grace_days = 31", "renewal_grace_days = -1"),
        ("renewal_grace_days = 31", "renewal_grace_days = 3661"),
        ("renewal_grace_days = 31", 'renewal_grace_days = "31"'),
        ('"check_card"', '"ask_around"'),
        ("ceiling_cents = 50000", "ceiling_cents = 500.0"),
        ("until = 2024-12-31", 'until = "2024-12-31"'),
        ("until = 2024-12-31", "until = 2024-12-31T00:00:00Z"),
        ('basis = "convention"', ""),
        ('basis = "convention"', r'basis = "a\u0007"'),
        ('"775671993"', '"0012345678"'),
        ('"775671993"', '"12345"'),
        ('"775671993"', "775671993"),
        ('"Mutuelle des Vagues"', '""'),
        ('"Mutuelle des Vagues"', r'"a\u0007"'),
        ('"Mutuelle des Vagues"', '"unfinished'),
        ("extracted_at = 2024-01-28T22:00:00+01:00", ""),
    ],
)
def test_a_policy_that_breaks_a_rule_is_refused(old: str, new: str):
    with pytest.raises(BuildError, match="policy file"):
        parse_policy(POLICY.replace(old, new, 1))


@pytest.mark.parametrize("text", ["", "amc = []", "amc = 3", "[amc]\nnumber = '775671993'", "amc = ['x']", "x = 1"])
def test_a_policy_without_amcs_is_refused(text: str):
    with pytest.raises(BuildError, match="policy file"):
        parse_policy(text)


def test_a_policy_file_that_is_absent_or_not_utf8_is_refused(tmp_path: Path):
    with pytest.raises(BuildError, match="does not exist"):
        load_policy(tmp_path / "policy.toml")
    (tmp_path / "policy.toml").write_bytes(POLICY.encode("latin-1"))
    with pytest.raises(BuildError, match="UTF-8"):
        load_policy(tmp_path / "policy.toml")
