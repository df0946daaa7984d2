from __future__ import annotations

from service.spent import NOTHING, together


def test_lookups_and_answers_about_nobody_known_are_added_apart():
    assert together((5, 2), (3, 1)) == (8, 3)


def test_nothing_adds_nothing():
    assert together(NOTHING, (3, 1)) == (3, 1)
