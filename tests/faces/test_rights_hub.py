"""A hub asks for pharmacies on its list, a pharmacy for itself."""

from __future__ import annotations

import pytest

from tests.faces.desk import COUNTER, COUNTER_FINESS, HUB, NOBODY, Counter

QUERY = {"beneficiary": NOBODY}


@pytest.mark.parametrize("finess", ["750012346", "2A0012346"])
def test_a_hub_asks_for_a_pharmacy_of_its_list(counter: Counter, finess: str):
    answer = counter.ask({**QUERY, "finess": finess}, HUB)
    assert answer["for"] == {"client": HUB, "finess": finess}


@pytest.mark.parametrize("finess", [COUNTER_FINESS, "130012342", "", "7500123460", "75001234٦"])
def test_a_hub_does_not_ask_for_another_pharmacy(counter: Counter, finess: str):
    reply = counter.post({**QUERY, "finess": finess}, HUB)
    assert (reply.status, reply.code) == (403, "finess_not_allowed")
    assert not finess or finess.encode() not in reply.body


def test_a_hub_names_the_pharmacy(counter: Counter):
    reply = counter.post(QUERY, HUB)
    assert (reply.status, reply.code) == (403, "finess_not_allowed")
    assert reply.json()["action"] == "contact"


def test_a_pharmacy_may_name_itself(counter: Counter):
    assert counter.ask({**QUERY, "finess": COUNTER_FINESS})["for"] == {"client": COUNTER, "finess": COUNTER_FINESS}


def test_a_pharmacy_does_not_ask_for_another(counter: Counter):
    reply = counter.post({**QUERY, "finess": "750012346"})
    assert (reply.status, reply.code) == (403, "finess_not_allowed")
