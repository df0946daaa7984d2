"""Files about people, one for each AMC, each for its owner alone: readable by nobody else, or sealed to a recipient.

They get their names when all of them are whole; a run that fails leaves none.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from service.errors import OperatorError
from service.files import PRIVATE_MODE, sync_directory
from service.journal.age import Recipient, Sealing

PLAIN_SUFFIX: Final = ".jsonl"
SEALED_SUFFIX: Final = ".jsonl.age"
_PARTIAL: Final = ".partial"


class Outbox:
    """Use as a context manager. `recipients` by AMC; `*` is whom every other file is sealed to.

    Without any, files are plain with mode 0600. One file is open for each AMC.
    """

    def __init__(self, directory: Path, recipients: Mapping[str, Recipient]) -> None:
        """Raises `OperatorError` if the directory holds anything, OSError."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(directory.iterdir()):
            raise OperatorError(f"{directory} is not empty: name another directory")
        self._directory = directory
        self._recipients = recipients
        self._files: dict[str, tuple[Path, IO[bytes], Sealing | None]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            for path, file, _ in self._files.values():
                file.close()
                path.with_name(path.name + _PARTIAL).unlink(missing_ok=True)

    def write(self, amc: str, line: bytes) -> None:
        """One more line of an AMC's file. Raises `OperatorError` where it cannot be sealed as asked, OSError."""
        _, file, sealing = self._files.get(amc) or self._open(amc)
        if sealing is None:
            file.write(line)
        else:
            sealing.write(line)

    def _open(self, amc: str) -> tuple[Path, IO[bytes], Sealing | None]:
        recipient = self._recipients.get(amc) or self._recipients.get("*")
        if recipient is None and self._recipients:
            raise OperatorError(f"no recipient is named for AMC {amc}, nor for all others (*)")
        path = self._directory / f"{amc}{PLAIN_SUFFIX if recipient is None else SEALED_SUFFIX}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        file = os.fdopen(os.open(path.with_name(path.name + _PARTIAL), flags, PRIVATE_MODE), "wb")
        opened = path, file, None
        self._files[amc] = opened
        if recipient is not None:
            self._files[amc] = path, file, Sealing(recipient, file.write)
        return self._files[amc]

    def _finish(self) -> None:
        for _, file, sealing in self._files.values():
            if sealing is not None:
                sealing.close()
            file.flush()
            os.fsync(file.fileno())
        for path, _, _ in self._files.values():
            path.with_name(path.name + _PARTIAL).replace(path)
        sync_directory(self._directory)
