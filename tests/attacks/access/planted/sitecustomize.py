"""Loaded by Python at its start where PYTHONPATH leads here: a server that takes longer over what it should not tell.

`PLANTED_SECONDS` more for a client that is not registered, and for a person whose NIR stands in the file
`PLANTED_NIRS`.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from service.access import tokens
from service.web import answering

_NANOSECONDS = int(float(os.environ["PLANTED_SECONDS"]) * 1e9)
_NIRS = frozenset(Path(os.environ["PLANTED_NIRS"]).read_text().split())
_find_signer, _find_record = tokens._find_signer, answering.find_record


def _linger() -> None:
    until = time.perf_counter_ns() + _NANOSECONDS
    while time.perf_counter_ns() < until:
        pass


def _slow_signer(token: str, header: Any, client_id: str, client: Any, audience: str) -> Any:
    if client is None:
        _linger()
    return _find_signer(token, header, client_id, client, audience)


def _slow_record(snapshot: Any, knowledge: Any, identity: str, now: Any) -> Any:
    if any(part in _NIRS for part in identity.split("|")):
        _linger()
    return _find_record(snapshot, knowledge, identity, now)


tokens._find_signer = _slow_signer
answering.find_record = _slow_record  # type: ignore[assignment]
