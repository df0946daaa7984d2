"""What was read of a budget, as leases, journals and shares all count it. Pure."""

from __future__ import annotations

from typing import Final

#: Lookups, and of them answers about nobody known.
Spent = tuple[int, int]
NOTHING: Final[Spent] = (0, 0)


def together(one: Spent, other: Spent) -> Spent:
    """Both of them."""
    return one[0] + other[0], one[1] + other[1]
