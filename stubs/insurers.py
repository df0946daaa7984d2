"""Insurers that do not exist, what they sell, and the stand-in policy each of them signs. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Product:
    """What a contract pays: integer percent by benefit code on a base, `TR` or `TM`."""

    rates: Mapping[str, int]
    rate_base: str
    responsible: bool = True


@dataclass(frozen=True, slots=True)
class Insurer:
    """An AMC: its share of the households (weight), how it prints member numbers, its products and its policy.

    `policy` holds the lines of `[amc.stand_in]`; `extract_age` is how long before `now` it extracted its rows, and
    `guaranteed_days` how long after `now` its guarantee ends, if it says so.
    """

    number: str
    name: str
    weight: int
    member: str
    convention: str
    csr: str
    products: tuple[Product, ...]
    policy: str
    extract_age: dt.timedelta
    guaranteed_days: int | None = None


_FULL = Product({"PH1": 100, "PH2": 100, "PH4": 100, "PH7": 100, "MX7": 100, "PMR": 100, "HD1": 100}, "TR")
_BASIC = Product({"PH1": 100, "PH4": 100, "PH7": 100, "PMR": 100}, "TR")
_SHARE = Product({"PH2": 0, "PH4": 100, "PH7": 100, "LPP": 100}, "TM")
_PARTIAL = Product({"PH2": 60, "PH4": 70, "PH7": 100, "LPP": 125}, "TR", responsible=False)


def _policy(grace: int, trust: int, age: int, on_unknown: str = "check_card", *, history: int = 0) -> str:
    days = f"renewal_grace_days = {grace}\nclosed_trust_days = {trust}\nmax_age_days = {age}\nhistory_days = {history}"
    return f'allowed = true\n{days}\non_unknown = "{on_unknown}"\n'


_REFUSES = _policy(0, 0, 5).replace("allowed = true", "allowed = false")
_GUARANTEES = '[amc.stand_in.guarantee]\nbasis = "Convention Exemple, article 7"\nceiling_cents = 15000\n'
_GUARANTEES_ALL = '[amc.stand_in.guarantee]\nbasis = "Engagement Exemple de continuité"\n'

#: The first two vouch for the example queries: rights they call open or closed stay so for days.
INSURERS: Final = (
    Insurer("0990000011", "Mutuelle Exemple Azur", 30, "EX%06d", "RO", "EXA100",
            (_FULL, _BASIC), _policy(31, 7, 14) + _GUARANTEES, dt.timedelta(hours=2)),
    Insurer("0990000022", "Mutuelle Exemple Bruyère", 22, "EX%06d", "RO", "",
            (_FULL, _SHARE), _policy(10, 7, 10) + _GUARANTEES_ALL, dt.timedelta(hours=3, minutes=20), 180),
    Insurer("0990000033", "Assurance Exemple Corail", 15, "EX-%08d", "AC", "EXC",
            (_SHARE, _PARTIAL), _policy(15, 2, 7, "patient_pays"), dt.timedelta(hours=1, minutes=5)),
    Insurer("0990000044", "Prévoyance Exemple Dune", 13, "EX%07d/A", "CM", "EXD7",
            (_FULL, _PARTIAL), _policy(60, 5, 30, history=365), dt.timedelta(hours=5)),
    Insurer("0990000055", "Mutuelle Exemple Écume", 10, "EX.%06d", "RO", "EXE100200",
            (_BASIC, _SHARE), _policy(0, 1, 3), dt.timedelta(minutes=50)),
    Insurer("0990000066", "Institution Exemple Fougère", 6, "EX%08d", "AC", "",
            (_BASIC,), _policy(31, 0, 7, "patient_pays"), dt.timedelta(hours=4)),
    Insurer("0990000077", "Mutuelle Exemple Garrigue", 4, "EX%06d-G", "CM", "EXG",
            (_FULL,), _REFUSES, dt.timedelta(hours=2, minutes=40)),
)  # fmt: skip

#: One index into `INSURERS` for each percent of the households.
BY_PERCENT: Final = tuple(index for index, insurer in enumerate(INSURERS) for _ in range(insurer.weight))


def policy_toml(now: dt.datetime) -> str:
    """The policy file of a snapshot built at `now` (an aware instant)."""
    return "\n".join(_table(insurer, now) for insurer in INSURERS)


def _table(insurer: Insurer, now: dt.datetime) -> str:
    extracted = (now - insurer.extract_age).astimezone(dt.UTC).replace(microsecond=0)
    until = insurer.guaranteed_days and f"until = {(extracted + dt.timedelta(insurer.guaranteed_days)).date()}\n"
    return (
        f'[[amc]]\nnumber = "{insurer.number}"\nname = "{insurer.name}"\n'
        f"extracted_at = {extracted:%Y-%m-%dT%H:%M:%SZ}\n[amc.stand_in]\n{insurer.policy}{until or ''}"
    )
