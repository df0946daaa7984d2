"""What can be wrong with a server, switched on and off while it runs. Pure.

Faults are one JSON object; what a change leaves out stays as it is.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final, Self

_TIMES: Final = 3_600_000
#: Smallest and largest value of each number.
_RANGES: Final = {
    "latency_ms": (0, _TIMES),
    "spread_ms": (0, _TIMES),
    "error_percent": (0, 100),
    "error_status": (400, 599),
    "flap_seconds": (0, 3600),
    "behind_hours": (0, 24 * 365),
}


@dataclasses.dataclass(frozen=True, slots=True)
class Faults:
    """The faults that hold, none by default.

    Each answer waits `latency_ms`, and up to `spread_ms` more by chance. `error_percent` of the questions get the
    status `error_status`. With `hang` none is answered before that is mended; with `drop` connections are closed
    without an answer; `garbage` answers with what is none, `oversize` with 64 MiB, `drip` byte by byte, and
    `wrong_person` about somebody else. `behind_hours` is how old the data are said to be. With `flap_seconds` all of
    this comes and goes, that long each; where nothing else is wrong, questions get errors meanwhile.
    """

    latency_ms: float = 0
    spread_ms: float = 0
    error_percent: float = 0
    error_status: int = 503
    hang: bool = False
    drop: bool = False
    garbage: bool = False
    oversize: bool = False
    drip: bool = False
    wrong_person: bool = False
    flap_seconds: float = 0
    behind_hours: float = 0

    def merged(self, change: object) -> Self:
        """These faults with a change; raises `ValueError`, whose text names the member at fault."""
        if not isinstance(change, Mapping):
            raise ValueError("faults are one JSON object")  # noqa: TRY004 - it is what somebody sent
        for name, value in change.items():
            _check(name, value)
        return dataclasses.replace(self, **change)

    def members(self) -> dict[str, Any]:
        """Every member as JSON."""
        return dataclasses.asdict(self)

    def at(self, seconds: float) -> Self:
        """The faults that hold so many seconds after they were set: flapping ones come first, then go, and so on."""
        if not self.flap_seconds:
            return self
        if int(seconds / self.flap_seconds) % 2:
            return type(self)(behind_hours=self.behind_hours)
        steady = dataclasses.replace(self, flap_seconds=0)
        alone = steady == type(self)(error_status=self.error_status, behind_hours=self.behind_hours)
        return dataclasses.replace(steady, error_percent=100) if alone else steady


_NAMES: Final = frozenset(field.name for field in dataclasses.fields(Faults))


def _check(name: object, value: object) -> None:
    if name not in _NAMES:
        raise ValueError(f"there are these faults: {', '.join(sorted(_NAMES))}")
    if name not in _RANGES:
        if not isinstance(value, bool):
            raise ValueError(f"{name} is true or false")
        return
    least, most = _RANGES[str(name)]
    kinds = (int,) if name == "error_status" else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not least <= value <= most:
        raise ValueError(f"{name} is a number from {least} to {most}")
