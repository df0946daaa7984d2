"""Loaded by Python at its start where PYTHONPATH leads here: one person is too much for the server.

The error names the person in its text and in the variables of its frames, as a slip of ours might.
"""

from __future__ import annotations

import hashlib
import os
from typing import Any

from service.web import answering

_DOOMED = os.environ["FAULT_OF_IDENTITY"]
_find_record = answering.find_record


def _fails(snapshot: Any, knowledge: Any, identity: str, now: Any) -> Any:
    for nir in identity.split("|"):
        if hashlib.sha256(nir.encode()).hexdigest() == _DOOMED:
            raise ValueError(f"nobody can look up {identity}, whose NIR is {nir}")
    return _find_record(snapshot, knowledge, identity, now)


answering.find_record = _fails  # type: ignore[assignment]
