"""What becomes of a snapshot that is damaged and signed all the same. Run in a child, for it may be killed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from service.rights.model import Absence
from tests.attacks.victim import Contracts, Victim

WHOLE: Final = 0
#: Taken, and somebody is not found or not readable: they are unknown.
UNREADABLE: Final = 1
#: Refused in one clear line.
REFUSED: Final = 2
#: A refusal that is none, or somebody has rights that are not theirs.
WRONG: Final = 3


def judged(victim: Victim, folder: Path, truth: Mapping[str, Contracts]) -> int:
    """The outcome, once verified by the command and asked for everybody."""
    said = victim.relais("snapshot", "verify", folder)
    if said.status:
        clear = said.status == 1 and said.err.startswith("relais: refused at step ") and said.err.count("\n") == 1
        return REFUSED if clear else WRONG
    found = victim.find(truth, folder=folder)
    lost = [person for person, contracts in found.items() if contracts != truth[person]]
    if any(not isinstance(found[person], Absence) for person in lost):
        return WRONG
    return UNREADABLE if lost else WHOLE
