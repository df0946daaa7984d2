"""Changes of a row to values that are good, or nearly so: what every reading of rows must agree on."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from service.snapshot.columns import COLUMNS
from tests.unit.snapshot.made_rows import NIR

near_dates = st.sampled_from(
    [
        *(None, "", 7, "2024-01-31", "20240131", "0001-01-01", "9999-12-31", "1969-12-31", "2022-12-31"),
        *("2024-02-30", "2024-1-31", " 2024-01-31", "2024-01-31T00:00:00", "\u0662024-01-31", "00000000"),
    ]
)
near_gaps = st.lists(st.lists(near_dates, max_size=3), max_size=3)
near_codes = st.sampled_from(["PH7", "a b", "", "x" * 20, "x" * 21, "é", "a:b", "_./-"])
near_percents = st.sampled_from([0, 100, 1000, 1001, -1, 6.5, 7.0, True, None, "7"])
near_rates = st.dictionaries(near_codes, near_percents, max_size=4)
values: dict[str, st.SearchStrategy[Any]] = {
    "nir": st.sampled_from(
        [
            *(NIR, NIR[:13], "185052a00401072", "712000000000131", "2555555123030", "5555551234567"),
            *("", None, 1, "185 05", " 1 85 05 75 116 001 59", "1850575116001\u0665\u0669"),
            *("185057511600150", "185057511600100", "185057511600198"),
        ]
    ),
    "birth_date": st.sampled_from(["1985-05-12", "19850512", "1985-13-41", "1985-5-12", "", None, "198505123", "é"]),
    "birth_rank": st.sampled_from([0, 1, 9, 10, 1.0, True, "1", None, "", "01", "1e0"]),
    "amc": st.sampled_from(["0775671993", "12345678", "1234567", "12345678901", "", None, "07756719x3"]),
    "member": st.sampled_from(["M1", " m 1/é", "m 1/a", "x" * 21, "", None, "\u017f", "A.B-/"]),
    "csr": st.sampled_from(["", "CSR1", "x" * 10, "a\nb", 'a":b', " pad ", "œé", "\u2028", None, ";,\t"]),
    "convention": st.sampled_from(["RO", "", "ROC", None, "é1"]),
    "payer_rank": st.sampled_from([0, 1, 99, 100, "1", None, "099", "0099", "00099"]),
    "valid_from": near_dates,
    "valid_to": near_dates,
    "card_valid_to": near_dates,
    "closed_on": near_dates,
    "suspended": near_gaps | st.none() | st.just({}),
    "responsible": st.sampled_from([True, False, None, 1, 0, "true", "FALSE", "oui", ""]),
    "domains": st.lists(near_codes, max_size=3) | st.none() | st.just(["A"] * 65),
    "rates": near_rates | st.none() | st.just({f"C{number}": 1 for number in range(257)}),
    "rate_base": st.sampled_from(["TR", "TM", "tr", "", None, 1]),
}
#: Rows of which most columns are good: one or two are drawn from what is nearly so.
near_rows = st.sets(st.sampled_from(COLUMNS), max_size=2).flatmap(
    lambda chosen: st.fixed_dictionaries({column: values[column] for column in sorted(chosen)})
)
#: One column alone, so that there is one fault at most.
one_change = st.sampled_from(COLUMNS).flatmap(lambda column: st.fixed_dictionaries({column: values[column]}))
