from __future__ import annotations

import datetime as dt
import json
import random
import uuid
from typing import Any

import orjson
import pytest

from stubs.answer import Answers
from stubs.population import Population
from stubs.proof import canonical, verify_asked
from stubs.question import parse_question
from stubs.register import Register

TODAY = dt.date(2024, 2, 5)
NOON = dt.datetime(2024, 2, 5, 11, 0, 0, 250_000, dt.UTC)
PEOPLE = Population(120, 1, TODAY)
CHANCE = random.Random(1)  # noqa: S311 - the same in every run
ANSWERS = Answers(Register(map(orjson.dumps, PEOPLE.rows())), {}, CHANCE)


def response(name: str, now: dt.datetime = NOON, behind: dt.timedelta = dt.timedelta(0), **more: Any) -> dict[str, Any]:
    question = parse_question(json.dumps({**PEOPLE.examples()[name], **more}).encode(), TODAY.isoformat())
    found: dict[str, Any] = json.loads(ANSWERS.response(question, now, behind))
    return found


@pytest.mark.parametrize("name", ["open", "closed", "unknown"])
def test_the_bytes_of_an_answer_are_canonical_and_bound_to_the_question(name: str):
    query = PEOPLE.examples()[name]
    raw = ANSWERS.response(parse_question(json.dumps(query).encode(), TODAY.isoformat()), NOON, dt.timedelta(0))
    document = json.loads(raw)
    assert canonical(document["answer"]) in raw
    verify_asked(query, document["answer"], document["opening"])


def test_an_answer_has_an_id_of_its_time():
    answer = response("open")["answer"]
    made = uuid.UUID(answer["id"])
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert made.int >> 80 == int(NOON.timestamp() * 1000)
    assert answer["at"] == "2024-02-05T11:00:00.250Z"
    assert response("open")["answer"]["id"] != answer["id"]


def test_it_holds_until_the_day_in_paris_is_over():
    assert response("open")["answer"]["source"]["valid_until"] == "2024-02-05T23:00:00Z"
    late, summer = NOON.replace(hour=23, minute=30), NOON.replace(month=7)
    assert response("open", late)["answer"]["source"]["valid_until"] == "2024-02-06T23:00:00Z"
    assert response("open", summer)["answer"]["source"]["valid_until"] == "2024-07-05T22:00:00Z"


@pytest.mark.parametrize(("hours", "freshness"), [(0, "fresh"), (24, "fresh"), (25, "aging"), (73, "stale")])
def test_what_is_shown_is_dated_and_nothing_else(hours: int, freshness: str):
    behind = dt.timedelta(hours=hours)
    answer = response("open", behind=behind)["answer"]
    dated = {"extracted_at": f"{NOON - behind:%Y-%m-%dT%H:%M:%SZ}", "freshness": freshness}
    assert answer["source"] | dated == answer["source"]
    assert answer["contracts"][0] | dated == answer["contracts"][0]
    assert "extracted_at" not in response("closed", behind=behind)["answer"]["contracts"][0]
    assert response("unknown")["answer"]["source"]["extracted_at"] is None


def test_a_number_given_for_secrecy_is_not_looked_up():
    answer = response("open", beneficiary={"nir": "2555555123030", "birth_date": "2000-01-01"})["answer"]
    assert (answer["status"], answer["reasons"], answer["contracts"]) == ("unknown", ["identity_not_searchable"], [])


def test_somebody_else_is_never_who_was_asked_for():
    question = parse_question(json.dumps(PEOPLE.examples()["open"]).encode(), TODAY.isoformat())
    alone = Answers(Register([orjson.dumps(PEOPLE.row(0, 0))]), {}, CHANCE)
    assert {ANSWERS.about_another(question).normalised() == question.normalised() for _ in range(300)} == {False}
    assert alone.about_another(question).normalised() != question.normalised()
