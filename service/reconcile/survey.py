"""The first pass over a journal: how much there is to ask, and which questions come more than once."""

from __future__ import annotations

from dataclasses import dataclass

from service.reconcile.journals import Journals


@dataclass(frozen=True, slots=True)
class Survey:
    """Stand-in answers, the questions they answer, the keys of those that come again; `journals` tells the rest."""

    answers: int
    questions: int
    repeated: frozenset[bytes]
    journals: Journals


def survey(journals: Journals) -> Survey:
    """Read everything once. Raises OSError."""
    answers, seen, repeated = 0, set[bytes](), set[bytes]()
    for recorded in journals.recorded():
        answers += 1
        if recorded.key in seen:
            repeated.add(recorded.key)
        seen.add(recorded.key)
    return Survey(answers, len(seen), frozenset(repeated), journals)
