import pytest

from service.access.marks import NUMBERS, PERSONS, Mark, Marker, unpack

DAY, PERIOD = b"d" * 32, b"p" * 32
MARKER = Marker(DAY, PERIOD)
NIR, DATE = "1850575116001", "1985-05-12"


def nir_mark(nir: str = NIR, date: str = DATE, rank: int = 1, marker: Marker = MARKER) -> Mark:
    return marker.nir(nir, date, rank, unknown=False)


def test_every_worker_with_the_same_keys_makes_the_same_mark():
    assert nir_mark() == nir_mark(marker=Marker(DAY, PERIOD))


def test_a_household_shares_its_number_and_not_its_people():
    insured, child = nir_mark(), nir_mark(date="2015-03-02")
    assert (insured.number, insured.block) == (child.number, child.block)
    assert insured.person != child.person
    assert nir_mark(rank=2).person != insured.person


def test_neighbours_share_a_block_and_strangers_do_not():
    assert nir_mark("1850575116002").block == nir_mark().block
    assert nir_mark("1850575116002").number != nir_mark().number
    assert nir_mark("1850575117001").block != nir_mark().block


def test_member_numbers_have_neighbours_too_within_their_amc():
    first = MARKER.member("0990000001", "A12345601", DATE, 1, unknown=False)
    second = MARKER.member("0990000001", "A12345602", DATE, 1, unknown=False)
    elsewhere = MARKER.member("0990000002", "A12345601", DATE, 1, unknown=False)
    assert first.block == second.block != elsewhere.block
    assert first.number != second.number


def test_tomorrow_numbers_look_different_and_people_do_not_before_the_period_ends():
    tomorrow, later = Marker(b"e" * 32, PERIOD), Marker(DAY, b"q" * 32)
    assert nir_mark(marker=tomorrow).number != nir_mark().number
    assert nir_mark(marker=tomorrow).person == nir_mark().person
    assert nir_mark(marker=later).person != nir_mark().person


def test_many_people_share_each_mark():
    people = 4 * PERSONS
    shared = {MARKER.nir(f"{number:013d}", DATE, 1, unknown=False).person for number in range(people)}
    assert len(shared) > 0.95 * PERSONS
    assert max(shared) < PERSONS


@pytest.mark.parametrize(
    "mark",
    [
        Mark(0, 0, 0, unknown=False, canary=False),
        Mark(PERSONS - 1, NUMBERS - 1, NUMBERS - 1, unknown=True, canary=True),
        Mark(1, 2, 3, unknown=True, canary=False),
        Mark(5, 0, 7, unknown=False, canary=True),
    ],
)
def test_a_mark_survives_packing_in_forty_bits(mark: Mark):
    assert mark.packed() < 1 << 40
    assert unpack(mark.packed()) == mark


def test_a_short_key_is_refused():
    with pytest.raises(ValueError, match="16 bytes"):
        Marker(b"short", PERIOD)
