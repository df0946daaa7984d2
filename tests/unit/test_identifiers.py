from __future__ import annotations

import contextlib
import unicodedata

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from stdnum import luhn
from stdnum.fr import nir as oracle

from service import identifiers
from service.errors import InvalidField

VALID = [
    "185057511600159", "299037511604226", "185052A00401072", "285052B03300557", "199099761234512",
    "102089741101056", "163429935012350", "275501305500761",
    "185057510005597", "185057510005401",  # the greatest and the smallest key
]  # fmt: skip
WITHOUT_KEY = ["712000000000131", "812000000000178"]
FICTITIOUS = ["2555555123030", "2555555999042", "5555550000000", "5555559999999"]

digit = st.sampled_from("0123456789")
other_digit = st.characters(categories=["Nd"]).filter(lambda character: not character.isascii())


@st.composite
def nirs(draw: st.DrawFn) -> str:
    """Any NIR of 13 characters with a meaningful key."""
    month = draw(st.one_of(st.integers(1, 12), st.integers(20, 99)))
    department = draw(st.one_of(st.text(digit, min_size=2, max_size=2), st.sampled_from(["2A", "2B"])))
    year, rest = draw(st.text(digit, min_size=2, max_size=2)), draw(st.text(digit, min_size=6, max_size=6))
    return f"{draw(st.integers(1, 4))}{year}{month:02}{department}{rest}"


@pytest.mark.parametrize("text", VALID)
def test_valid_nirs_pass_with_and_without_their_key(text: str):
    assert oracle.is_valid(text)
    assert identifiers.parse_nir(text) == identifiers.parse_nir(text[:13]) == text[:13]


@pytest.mark.parametrize("text", WITHOUT_KEY)
def test_nirs_of_the_families_without_meaningful_key_pass_with_any_key(text: str):
    assert {identifiers.parse_nir(f"{text[:13]}{key:02}") for key in range(100)} == {text[:13]}


def test_passing_migrants_have_a_nir():
    assert identifiers.parse_nir("5120000000000") == "5120000000000"
    assert identifiers.parse_nir("6199999999999") == "6199999999999"


@pytest.mark.parametrize(
    "text",
    [
        "", "1", "185057511600158", "185002A00401072",
        "1850575116001590", "18505751160015", "185057511600", "18505751160015A",
        "985057511600101", "085057511600101", "1851375116001", "1851975116001", "1850075116001",
        "185052C004010", "18505A2004010", "5320000000000", "7020000000000", "185057511600100", "185057511600198",
        "185-05-75-116-001", "185057511600159\n", "185\u00a0057511600159",
        "\u066085057511600159", "\uff1185057511600159",
        "185052\uff21004010",
    ],
)  # fmt: skip
def test_what_is_no_nir_is_refused_without_an_echo(text: str):
    with pytest.raises(InvalidField) as refusal:
        identifiers.parse_nir(text)
    assert not text.strip() or len(text) < 2 or text not in str(refusal.value)


@given(nirs())
def test_the_key_is_the_oracles(nir: str):
    key = oracle.calc_check_digits(nir)
    assert identifiers.parse_nir(nir + key) == nir
    wrong = f"{int(key) % 97 + 1:02}"
    with pytest.raises(InvalidField):
        identifiers.parse_nir(nir + wrong)


@given(st.text(st.sampled_from("0123456789AB"), min_size=15, max_size=15))
def test_what_the_oracle_refuses_is_refused(text: str):
    assume(not oracle.is_valid(text))
    assume(text[0] not in "5678")
    with pytest.raises(InvalidField):
        identifiers.parse_nir(text)


@given(nirs(), st.data())
def test_a_nir_written_otherwise_is_the_same_identity(nir: str, data: st.DataObject):
    text = nir + (oracle.calc_check_digits(nir) if data.draw(st.booleans()) else "")
    written = "".join(data.draw(st.sampled_from(["", " ", ".", " ."])) + character for character in text)
    assert identifiers.parse_nir(data.draw(st.sampled_from([written, written.lower()]))) == nir


@given(nirs(), st.integers(0, 12), other_digit)
def test_a_digit_of_another_script_never_passes_in_a_nir(nir: str, position: int, character: str):
    assert unicodedata.decimal(character) in range(10)
    with pytest.raises(InvalidField):
        identifiers.parse_nir(nir[:position] + character + nir[position + 1 :])


@given(st.text(st.sampled_from("0123456789AaBb. \u00a0\u0661\uff11"), max_size=20))
def test_any_text_is_a_canonical_nir_or_refused(text: str):
    with contextlib.suppress(InvalidField):
        nir = identifiers.parse_nir(text)
        assert len(nir) == 13
        assert identifiers.parse_nir(nir) == nir


@pytest.mark.parametrize("nir", FICTITIOUS)
def test_fictitious_nirs_are_read_and_recognised(nir: str):
    assert identifiers.parse_nir(nir) == nir
    assert identifiers.is_fictitious(nir)


@pytest.mark.parametrize("text", [*VALID, *WITHOUT_KEY, "2555555123031", "2555555123142", "1555555123030"])
def test_nobodys_number_is_taken_for_fictitious(text: str):
    assert not identifiers.is_fictitious(identifiers.parse_nir(text[:13]))


@pytest.mark.parametrize("text", ["1985-05-12", "1985-00-00", "1985-02-31", "1985-13-45", "0000-00-00", "9999-99-99"])
def test_lunar_birth_dates_stay_as_written(text: str):
    assert identifiers.parse_birth_date(text) == text


@pytest.mark.parametrize(
    "text", ["", "19850512", "1985-5-12", "85-05-12", "1985-05-12\n", " 1985-05-12", "1985/05/12", "\uff11985-05-12"]
)
def test_other_shapes_of_a_birth_date_are_refused(text: str):
    with pytest.raises(InvalidField):
        identifiers.parse_birth_date(text)


@given(st.integers())
def test_a_birth_rank_is_one_to_nine(value: object):
    if 1 <= value <= 9:
        assert identifiers.parse_birth_rank(value) == value
    else:
        with pytest.raises(InvalidField):
            identifiers.parse_birth_rank(value)


@pytest.mark.parametrize("value", [True, 1.0, "1", None])
def test_what_only_equals_a_rank_is_refused(value: object):
    with pytest.raises(InvalidField):
        identifiers.parse_birth_rank(value)


@pytest.mark.parametrize(
    ("text", "amc"), [("75671993", "0075671993"), ("775671993", "0775671993"), ("0775671993", "0775671993")]
)
def test_an_amc_number_is_padded_to_ten_digits(text: str, amc: str):
    assert identifiers.parse_amc(text) == amc


@pytest.mark.parametrize(
    "text", ["", "7756719", "07756719930", "07756 71993", "+775671993", "\u0660775671993", "775671993\n"]
)
def test_what_is_no_amc_number_is_refused(text: str):
    with pytest.raises(InvalidField):
        identifiers.parse_amc(text)


@pytest.mark.parametrize(
    ("text", "member"), [("12 345 678", "12345678"), ("ab.c/d-9", "AB.C/D-9"), (" 1 ", "1"), ("0" * 20, "0" * 20)]
)
def test_a_member_number_is_in_capitals_without_spaces(text: str, member: str):
    assert identifiers.parse_member(text) == member


@pytest.mark.parametrize("text", ["", "  ", "0" * 21, "1_2", "É1", "\u017f1", "\u01311", "1\u00a02", "1\t2", "\uff112"])
def test_what_is_no_member_number_is_refused(text: str):
    with pytest.raises(InvalidField):
        identifiers.parse_member(text)


@pytest.mark.parametrize(("text", "finess"), [("750012346", "750012346"), ("2a0000012", "2A0000012")])
def test_a_finess_has_nine_characters_and_capitals(text: str, finess: str):
    assert identifiers.check_finess(text) == finess


@pytest.mark.parametrize(
    "text", ["", "75001234", "7500123467", "2C0000012", "75 001234", "\uff1750012346", "750012346\n"]
)
def test_what_is_no_finess_is_refused(text: str):
    with pytest.raises(InvalidField):
        identifiers.check_finess(text)


@given(st.text(digit, min_size=9, max_size=9))
def test_the_finess_key_is_luhns(finess: str):
    assert identifiers.finess_has_valid_key(finess) == luhn.is_valid(finess)


@pytest.mark.parametrize(("letters", "digits"), [("2A", "21"), ("2B", "22")])
@given(tail=st.text(digit, min_size=7, max_size=7))
def test_corsica_counts_as_a_number_in_the_finess_key(letters: str, digits: str, tail: str):
    assert identifiers.finess_has_valid_key(letters + tail) == luhn.is_valid(digits + tail)


def test_a_wrong_finess_key_is_only_a_warning():
    assert identifiers.check_finess("750012347") == "750012347"
    assert not identifiers.finess_has_valid_key("750012347")
    assert identifiers.finess_has_valid_key("750012346")


def test_canonical_identities():
    assert identifiers.nir_identity("185052A004010", "1985-05-00", 2) == "nir|185052A004010|1985-05-00|2"
    assert identifiers.amc_identity("0775671993", "A1", "1985-05-12", 1) == "amc|0775671993|A1|1985-05-12|1"


@given(st.text(min_size=1))
def test_a_mask_shows_no_character_of_an_identity(text: str):
    masked = identifiers.mask(text)
    assert set(masked) <= set("* .-/|")
    assert len(masked) == min(len(text), 64)
