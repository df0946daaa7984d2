from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from service.rights.reasons import Reason, in_order, sentence

MODES = Path(__file__).parents[3] / "docs" / "degraded_modes.md"


@pytest.mark.parametrize("reason", Reason)
def test_each_reason_has_one_french_sentence(reason: Reason):
    assert sentence(reason).endswith(".")
    assert sentence(reason)[0].isupper()


def test_no_two_reasons_say_the_same():
    assert len({sentence(reason) for reason in Reason}) == len(Reason)


@pytest.mark.parametrize("reason", Reason)
def test_each_reason_is_documented_with_its_sentence(reason: Reason):
    (line,) = [line for line in MODES.read_text("utf-8").splitlines() if line.startswith(f"| `{reason}` |")]
    assert sentence(reason) in line


def test_the_order_of_reasons_is_the_order_of_the_list():
    some = (Reason.UPSTREAM_DISABLED, Reason.OTHER_COVER_POSSIBLE, Reason.LAPSED)
    assert {in_order(order) for order in itertools.permutations((*some, some[0]))} == {some}
