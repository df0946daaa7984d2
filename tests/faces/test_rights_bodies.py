"""Bodies that are not what we take: each gets its own clear error, and none gets anything of itself back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.faces.desk import Counter, set_member

# Marked through and through: none of these texts may come back.
NIR, BIRTH_DATE, MEMBER = "185057511600159", "1985-05-12", "MARQUE/4711"
GOOD = {"beneficiary": {"nir": NIR, "birth_date": BIRTH_DATE, "birth_rank": 1}, "amc": "0990000011"}
CARD = {"beneficiary": {"amc": "0990000011", "member": MEMBER, "birth_date": BIRTH_DATE, "birth_rank": 1}}
REQUEST_ID = "ffffffff-ffff-4fff-bfff-ffffffffffff"  # without digits that a secret could be found in
SECRETS = (NIR, NIR[:13], BIRTH_DATE, MEMBER, "MARQUE", "marque", "4711")


def refuse(counter: Counter, body: Any, status: int, code: str, pointer: str | None = None) -> None:
    """The body is refused with this status, code and pointer, and nothing of it comes back."""
    reply = counter.post(body, headers={"X-Request-Id": REQUEST_ID})
    assert (reply.status, reply.code) == (status, code), reply.body
    assert reply.json().get("pointer") == pointer
    told = (reply.body + str(reply.headers).encode()).decode()
    for secret in (*SECRETS, *(() if isinstance(body, bytes) else texts(body))):
        assert secret not in told


def texts(value: Any) -> Iterator[str]:
    """Every text of a JSON value that is long enough to be found by more than chance."""
    if isinstance(value, dict):
        value = [*value.values()]
    if isinstance(value, list):
        for one in value:
            yield from texts(one)
    elif isinstance(value, str) and len(value) >= 4:
        yield value


def test_the_good_bodies_are_good(counter: Counter):
    assert counter.post(GOOD).status == 200
    assert counter.post(CARD).status == 200


# Not one JSON text

TEXT = json.dumps(GOOD)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b" \n", id="blank"),
        pytest.param(b"{", id="cut short"),
        pytest.param(TEXT[:-1].encode(), id="without its last brace"),
        pytest.param(f"{TEXT}x".encode(), id="trailing letter"),
        pytest.param(f"{TEXT}{TEXT}".encode(), id="twice"),
        pytest.param(f"{TEXT}\0".encode(), id="trailing NUL"),
        pytest.param(TEXT.replace("}", ",}").encode(), id="trailing comma"),
        pytest.param(TEXT.replace('"', "'").encode(), id="single quotes"),
        pytest.param(f"/* MARQUE */{TEXT}".encode(), id="comment"),
        pytest.param(f"\ufeff{TEXT}".encode(), id="byte order mark"),
        pytest.param(TEXT.encode("utf-16"), id="UTF-16"),
        pytest.param(TEXT.replace("1985", "19\xe9").encode("latin-1"), id="Latin-1"),
        pytest.param(TEXT.encode().replace(b"0990000011", b"\xc0\xafMARQUE"), id="overlong UTF-8"),
        pytest.param(TEXT.encode().replace(b"0990000011", b"\xed\xa0\x80"), id="surrogate in UTF-8"),
        pytest.param(TEXT.encode().replace(b"0990000011", b"\xff"), id="invalid UTF-8 in a value"),
        pytest.param(TEXT.encode().replace(b'"amc"', b'"am\xff"'), id="invalid UTF-8 in a name"),
        pytest.param(TEXT.encode().replace(b"0990000011", b"a\x00b"), id="raw NUL in a text"),
        pytest.param(TEXT.encode().replace(b"0990000011", b"a\nb"), id="raw line end in a text"),
        pytest.param(TEXT.encode().replace(b"0990000011", rb"\x41"), id="escape that is none"),
        pytest.param(TEXT.encode().replace(b"0990000011", rb"\ud800"), id="lone high surrogate"),
        pytest.param(TEXT.encode().replace(b"0990000011", rb"\udc00\ud800"), id="surrogates in the wrong order"),
        pytest.param(TEXT.replace('_rank": 1', '_rank": NaN').encode(), id="NaN"),
        pytest.param(TEXT.replace('_rank": 1', '_rank": Infinity').encode(), id="Infinity"),
        pytest.param(TEXT.replace('_rank": 1', '_rank": -Infinity').encode(), id="-Infinity"),
        pytest.param(TEXT.replace('_rank": 1', '_rank": 01').encode(), id="leading zero"),
        pytest.param(TEXT.replace('_rank": 1', '_rank": +1').encode(), id="plus sign"),
        pytest.param(TEXT.replace('_rank": 1', '_rank": 1.').encode(), id="bare decimal point"),
        pytest.param(TEXT.replace('_rank": 1', '_rank": 0x1').encode(), id="hexadecimal"),
        pytest.param(b"[" * 60_000, id="60,000 open brackets"),
        pytest.param(b'{"beneficiary":' * 4_000, id="4,000 open objects"),
        pytest.param(b"[" * 30_000 + b"]" * 30_000, id="30,000 brackets deep"),
        pytest.param(b'{"x":' + b"[" * 30_000 + b"]" * 30_000 + b"}", id="30,000 deep in an unknown member"),
    ],
)
def test_a_body_that_is_not_one_json_text_is_malformed(counter: Counter, body: bytes):
    refuse(counter, body, 400, "malformed_json")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(TEXT.replace('{"nir"', '{"nir": "299037511604226", "nir"'), id="nir"),
        pytest.param(TEXT.replace('{"nir"', '{"\\u006eir": "299037511604226", "nir"'), id="nir, escaped"),
        pytest.param(TEXT.replace('{"nir"', '{"n\\u0069r": "299037511604226", "\\u006eir"'), id="nir, both escaped"),
        pytest.param(TEXT.replace('"birth_rank"', '"birth_rank": 1, "birth_rank"'), id="the same value twice"),
        pytest.param(TEXT[:-1] + f', "beneficiary": {json.dumps(GOOD["beneficiary"])}}}', id="the whole beneficiary"),
        pytest.param(TEXT[:-1] + ', "amc": null}', id="an absent one"),
        pytest.param(TEXT[:-1] + ', "MARQUE": 1, "MARQUE": 2}', id="unknown"),
        pytest.param(TEXT[:-1] + ', "x": {"MARQUE": 1, "MARQUE": 2}}', id="inside an unknown one"),
        pytest.param(TEXT[:-1] + ', "domain": "A:B", "domain": "PHAR"}', id="with colons in a value"),
    ],
)
def test_a_repeated_member_is_malformed(counter: Counter, body: str):
    refuse(counter, body.encode(), 400, "malformed_json")


# Good JSON of another shape


@pytest.mark.parametrize("body", ["[]", "null", "true", '"MARQUE"', "4711", "{}", '{"MARQUE": "marque"}'])
def test_a_body_that_is_no_query_is_an_invalid_field_at_the_root(counter: Counter, body: str):
    refuse(counter, body.encode(), 422, "invalid_field", "")


@pytest.mark.parametrize(
    "pointer", ["/beneficiary/nir", "/beneficiary/birth_date", "/amc", "/service_date", "/domain", "/finess"]
)
@pytest.mark.parametrize("value", [None, 4711, 1.5, True, [], {}, ["MARQUE"], {"MARQUE": 4711}])
def test_a_text_of_another_type_is_named(counter: Counter, pointer: str, value: Any):
    refuse(counter, set_member(GOOD, pointer, value), 422, "invalid_field", pointer)


@pytest.mark.parametrize("value", [None, 4711, "MARQUE", True, {}])
def test_benefits_are_a_list(counter: Counter, value: Any):
    refuse(counter, set_member(GOOD, "/benefits", value), 422, "invalid_field", "/benefits")


@pytest.mark.parametrize(
    "value", [None, 4711, [], {}, True, "marque", "MARQUE 4711", "PH7 ", "ph7", "", "PH\u0667", "P" * 65]
)
def test_the_benefit_at_fault_is_named(counter: Counter, value: Any):
    refuse(counter, {**GOOD, "benefits": ["PH7", value]}, 422, "invalid_field", "/benefits/1")


def test_too_many_benefits_are_refused(counter: Counter):
    refuse(counter, {**GOOD, "benefits": ["PH7"] * 51}, 422, "invalid_field", "/benefits")


@pytest.mark.parametrize(
    "rank",
    [
        *("0", "10", "-1", "4711", "null", "true", "false", '"1"', '"MARQUE"', "[]", "{}"),
        *("1.0", "1e0", "1.5", "1e400", "-1e400", "1E-7", "9" * 5000, "-" + "9" * 5000, "0." + "0" * 5000 + "1"),
    ],
)
def test_a_rank_is_an_integer_from_1_to_9(counter: Counter, rank: str):
    refuse(
        counter, TEXT.replace('_rank": 1', f'_rank": {rank}').encode(), 422, "invalid_field", "/beneficiary/birth_rank"
    )


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ({**GOOD, "MARQUE": 1}, ""),
        ({**GOOD, "nir": NIR}, ""),
        ({**GOOD, "": 1}, ""),
        ({**GOOD, "Amc": "0990000011"}, ""),
        (set_member(GOOD, "/beneficiary/marque_4711", 1), "/beneficiary"),
        (set_member(GOOD, "/beneficiary/birthdate", BIRTH_DATE), "/beneficiary"),
        (set_member(GOOD, "/beneficiary/a`.marque[0]", 1), "/beneficiary"),
    ],
)
def test_a_member_we_do_not_know_is_refused_and_its_name_never_comes_back(counter: Counter, query: Any, pointer: str):
    refuse(counter, query, 422, "invalid_field", pointer)


@pytest.mark.parametrize(
    "beneficiary",
    [
        None,
        "MARQUE",
        [],
        {},
        {"birth_date": BIRTH_DATE},
        {"nir": NIR},
        {"nir": NIR, "birth_rank": 1},
        {"birth_date": BIRTH_DATE, "amc": "0990000011"},
        {"birth_date": BIRTH_DATE, "member": MEMBER},
        {"birth_date": BIRTH_DATE, "nir": NIR, "member": MEMBER},
        {"birth_date": BIRTH_DATE, "nir": NIR, "amc": "0990000011"},
        {"birth_date": BIRTH_DATE, "nir": NIR, "amc": "0990000011", "member": MEMBER},
    ],
)
def test_a_beneficiary_has_one_of_the_two_shapes(counter: Counter, beneficiary: Any):
    refuse(counter, {**GOOD, "beneficiary": beneficiary}, 422, "invalid_field", "/beneficiary")


# Good shape, bad value


@pytest.mark.parametrize(
    "nir",
    [
        pytest.param("185057511600158", id="wrong key"),
        pytest.param("185002A00401072", id="month 00"),
        pytest.param("1850075116001", id="month 00 without key"),
        pytest.param("1851375116001", id="month 13"),
        pytest.param("985057511600159", id="first digit 9"),
        pytest.param("085057511600159", id="first digit 0"),
        pytest.param("18505751160015", id="14 characters"),
        pytest.param("1850575116001590", id="16 characters"),
        pytest.param("185057511600", id="12 characters"),
        pytest.param("", id="empty"),
        pytest.param("   ", id="blank"),
        pytest.param("185052C00401072", id="no such Corsica"),
        pytest.param("18505751160015\uff19", id="full-width digit"),
        pytest.param("1850575116001\u0665\u0669", id="Arabic-Indic key"),
        pytest.param(
            "\uff11\uff18\uff15\uff10\uff15\uff17\uff15\uff11\uff11\uff16\uff10\uff10\uff11", id="all full-width"
        ),
        pytest.param("185057511600159\u0000", id="NUL"),
        pytest.param("185057511600159\n", id="line end"),
        pytest.param("1850575\u200b11600159", id="zero width space"),
        pytest.param("185\u00a0057511600159", id="no-break space"),
        pytest.param("185-057-511-600-159", id="hyphens"),
        pytest.param("MARQUE", id="letters"),
        pytest.param("1" * 65, id="65 characters"),
        pytest.param("1" * 60_000, id="60,000 characters"),
        pytest.param("${MARQUE}", id="template"),
        pytest.param("' OR 1=1 --MARQUE", id="quote"),
    ],
)
def test_a_bad_nir_is_named_and_not_repeated(counter: Counter, nir: str):
    refuse(counter, set_member(GOOD, "/beneficiary/nir", nir), 422, "invalid_field", "/beneficiary/nir")


@pytest.mark.parametrize(
    "date",
    [
        "",
        "1985",
        "12/05/1985",
        "1985-5-12",
        "19850512",
        "1985-05-12T00:00",
        "1985-05-1\uff12",
        "\u0662\u0660\u0660\u0660-\u0660\u0661-\u0660\u0661",
        "MARQUE",
    ],
)
def test_a_bad_birth_date_is_named(counter: Counter, date: str):
    refuse(counter, set_member(GOOD, "/beneficiary/birth_date", date), 422, "invalid_field", "/beneficiary/birth_date")


@pytest.mark.parametrize(
    "amc", ["", "1234567", "12345678901", "09900000A1", "099 000 0011", "\uff10990000011", "MARQUE"]
)
def test_a_bad_amc_is_named(counter: Counter, amc: str):
    refuse(counter, {**GOOD, "amc": amc}, 422, "invalid_field", "/amc")
    refuse(counter, set_member(CARD, "/beneficiary/amc", amc), 422, "invalid_field", "/beneficiary/amc")


@pytest.mark.parametrize(
    "member", ["", " ", "M" * 21, "MARQUE_4711", "MARQUÉ", "\u017f\u017f", "4711\u0000", "MARQUE|4711"]
)
def test_a_bad_member_number_is_named(counter: Counter, member: str):
    refuse(counter, set_member(CARD, "/beneficiary/member", member), 422, "invalid_field", "/beneficiary/member")


def test_two_different_amcs_are_refused(counter: Counter):
    refuse(counter, {**CARD, "amc": "0990000022"}, 422, "invalid_field", "/amc")


@pytest.mark.parametrize(
    "date",
    [
        "",
        "2024-02-30",
        "2023-02-29",
        "2024-00-01",
        "20240205",
        "2024-2-5",
        "2024-02-05T00:00:00Z",
        "MARQUE",
        "\uff12024-02-05",
    ],
)
def test_a_day_of_dispensing_is_a_calendar_date(counter: Counter, date: str):
    refuse(counter, {**GOOD, "service_date": date}, 422, "invalid_field", "/service_date")


@pytest.mark.parametrize("domain", ["", "phar", "PHAR ", "MARQUE_4711", "\uff30HAR", "P" * 17, "PH\u0000"])
def test_a_bad_domain_is_named(counter: Counter, domain: str):
    refuse(counter, {**GOOD, "domain": domain}, 422, "invalid_field", "/domain")
