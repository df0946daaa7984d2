"""The catalogue of errors: whole, in French where people read it, and silent about what was sent."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path

import pytest

from service import errors
from service.web.problems import CATALOGUE, Problem, code_of, problem

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "errors.md"
#: The statuses that client software was written against. They never change within `/v1`.
STATUSES = {
    "malformed_request": 400,
    "malformed_json": 400,
    "token_missing": 401,
    "token_invalid": 401,
    "token_expired": 401,
    "client_suspended": 403,
    "scope_missing": 403,
    "finess_not_allowed": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "request_timeout": 408,
    "conflict": 409,
    "precondition_failed": 412,
    "body_too_large": 413,
    "media_type": 415,
    "invalid_field": 422,
    "precondition_required": 428,
    "budget_exhausted": 429,
    "too_fast": 429,
    "header_too_large": 431,
    "internal": 500,
    "service_suspended": 503,
    "no_snapshot": 503,
    "journal_unwritable": 503,
    "overloaded": 503,
    "spendings_unavailable": 503,
}
every_problem = pytest.mark.parametrize(("code", "entry"), CATALOGUE.items(), ids=CATALOGUE)


def test_the_catalogue_is_what_was_published():
    assert {code: entry.status for code, entry in CATALOGUE.items()} == STATUSES


@every_problem
def test_an_entry_says_what_to_do(code: str, entry: Problem):
    assert entry.action in {"fix", "retry", "check_card", "contact"}
    assert entry.title
    if entry.status == 503 or code == "budget_exhausted":
        assert entry.action == "check_card"
        assert "carte" in entry.counter_text


@every_problem
def test_the_counter_is_told_one_french_sentence(code: str, entry: Problem):
    text = entry.counter_text
    assert re.fullmatch(r"[A-ZÀÉÊ][^.]+\.", text), text
    # French has a space before these, and none of these words in English has a reader at the counter.
    assert not re.search(r"[^ ][:;?!]", text)
    assert not re.search(r"\b(the|is|not|request|error|token|please)\b", text, re.IGNORECASE)
    assert re.search(r"\b(la|le|les|de|un|une|du|pas|vérifiez|réessayez|contactez)\b", text, re.IGNORECASE)


@every_problem
def test_an_error_of_each_code_becomes_its_problem(code: str, entry: Problem):
    status, body = problem(error_of(code), {"server_time": "2024-02-05T09:30:12Z"})
    document = json.loads(body)
    assert status == document["status"] == entry.status
    assert document["type"] == f"/problems/{code}"
    assert document["counter_text"] == entry.counter_text
    assert document["server_time"] == "2024-02-05T09:30:12Z"


def error_of(code: str) -> Exception:
    """A deliberate error of a code; for `internal`, one that nobody meant."""
    found = [
        kind
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, errors.RelaisError) and kind.code == code and kind is not errors.RelaisError
    ]
    return (
        ZeroDivisionError("MARQUE")
        if code == "internal"
        else next(kind() for kind in found if not kind.__subclasses__())
    )


def test_every_error_a_caller_can_cause_has_an_entry_of_its_own():
    families = (errors.CallerError, errors.AccessError, errors.AvailabilityError, errors.JournalUnwritable)
    for _, kind in inspect.getmembers(errors, inspect.isclass):
        if issubclass(kind, families) and kind not in families[:3]:
            assert kind.code in CATALOGUE, kind


@pytest.mark.parametrize(
    "error",
    [
        ZeroDivisionError("MARQUE"),
        errors.RelaisError("MARQUE"),
        errors.SnapshotRefused("MARQUE", "MARQUE", "MARQUE"),
        errors.StoreUnavailable("MARQUE"),
        errors.RecordUnreadable("MARQUE"),
        errors.SettingsError("MARQUE"),
        UnicodeDecodeError("utf-8", b"MARQUE", 0, 1, "MARQUE"),
    ],
)
def test_what_is_not_the_callers_business_is_internal_and_says_nothing(error: Exception):
    status, body = problem(error)
    assert (status, code_of(error)) == (500, "internal")
    assert b"MARQUE" not in body
    assert "detail" not in json.loads(body)


def test_a_field_at_fault_is_pointed_at_and_the_whole_body_too():
    def pointer(error: Exception) -> str | None:
        return json.loads(problem(error)[1]).get("pointer")

    assert pointer(errors.InvalidField("not a code", "/benefits/0")) == "/benefits/0"
    assert pointer(errors.InvalidField("no query")) == ""
    assert pointer(errors.MalformedJson("no JSON")) is None


def documented() -> dict[str, list[str]]:
    """The rows of the page's catalogue: status, action, title, counter text, advice, by code."""
    rows = [line.strip("|").split("|") for line in DOCUMENT.read_text("utf-8").splitlines() if line.startswith("| `")]
    return {cells[0].strip(" `"): [cell.strip(" `") for cell in cells[1:]] for cells in rows if len(cells) == 6}


def test_the_page_of_errors_lists_the_catalogue_and_nothing_else():
    assert set(documented()) == set(CATALOGUE)


@every_problem
def test_the_page_of_errors_says_what_the_service_says(code: str, entry: Problem):
    status, action, title, counter_text, advice = documented()[code]
    assert (status, action, title, counter_text) == (str(entry.status), entry.action, entry.title, entry.counter_text)
    assert advice
