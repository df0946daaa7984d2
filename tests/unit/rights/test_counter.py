from __future__ import annotations

from pathlib import Path

import pytest

from service.rights.counter import _CAUSES, counter_text
from service.rights.model import Advice, Status
from service.rights.reasons import Reason

MODES = Path(__file__).parents[3] / "docs" / "degraded_modes.md"


@pytest.mark.parametrize("case", _CAUSES)
@pytest.mark.parametrize("advice", Advice)
def test_the_counter_gets_two_sentences(case: tuple[Status, Reason | None], advice: Advice):
    text = counter_text(*case, advice)
    assert text.count(". ") == 1
    assert text.endswith(".")


def test_an_unknown_person_is_looked_for_again_at_the_counter():
    text = counter_text(Status.UNKNOWN, Reason.BENEFICIARY_UNKNOWN, Advice.CHECK_CARD)
    assert all(hint in text for hint in ("date de naissance", "rang", "autre parent", "carte"))


@pytest.mark.parametrize("cause", _CAUSES.values())
def test_each_cause_is_documented(cause: str):
    assert cause in MODES.read_text("utf-8")
