"""The numbered steps of verification, as refusals and verdicts name them. Pure."""

from __future__ import annotations

from enum import StrEnum


class Step(StrEnum):
    """The steps in the order they are taken (docs/trust_format.md); 0 is being able to read and copy at all."""

    FOLDER = "0 folder"
    SIZE = "1 size caps"
    SIGNATURES = "2 signatures and threshold"
    FORMAT = "3 parse and format"
    DATES = "4 dates"
    SEQUENCE = "5 sequence against the floor"
    BASE = "6 base"
    FILES = "7 file list, sizes, SHA-256"
    PEPPER = "8 pepper and probe"
    GUARD = "9 guard"
