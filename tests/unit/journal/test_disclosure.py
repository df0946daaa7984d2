from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import JournalDamaged
from service.journal.disclosure import MEMBERS, Category, from_mask, given_away, identity, to_mask
from service.rights.decide import decide
from service.rights.render import render
from service.web.answering import disclosed
from tests.unit.journal.breach import Shown, beneficiary, identity_of
from tests.unit.rights.test_decide_laws import World, worlds

#: Members of a contract in an answer that say something of our data or our reasoning, not of a person.
OF_NOBODY = {"status", "reasons", "extracted_at", "freshness"}


@given(worlds)
def test_every_member_of_every_contract_has_a_category(world: World):
    _, _, knowledge, *_ = world
    decision = decide(*world)
    answer = render(decision, knowledge)
    for contract in answer["contracts"]:
        assert set(contract) <= MEMBERS.keys() | OF_NOBODY
    # What an entry says in the clear and what its answer holds agree.
    assert bool(given_away(answer)) == (disclosed(decision) != "none")


@given(st.frozensets(st.sampled_from(Category)))
def test_a_mask_keeps_its_categories(categories: frozenset[Category]):
    assert set(from_mask(to_mask(categories))) == categories


@pytest.mark.parametrize("shown", [Shown(1), Shown(1, by_member=True)])
def test_an_identity_is_the_one_that_was_pseudonymised(shown: Shown):
    assert identity({"beneficiary": beneficiary(shown)}) == identity_of(shown)


@pytest.mark.parametrize("query", [{}, {"beneficiary": None}, {"beneficiary": {"nir": "1850599000001"}}])
def test_what_is_no_question_is_refused_without_quoting_it(query: dict[str, object]):
    with pytest.raises(JournalDamaged) as caught:
        identity(query)
    assert "1850599000001" not in caught.value.detail
    assert caught.value.__cause__ is None
