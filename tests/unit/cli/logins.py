"""Commands given by one person and by another, as the kernel tells them apart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from service.cli.main import _run
from service.settings import Home

ANN, BOB = 3_999_999_001, 3_999_999_002
Relais = Callable[..., tuple[int, str, str]]


def logged_in(home: Home, login: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Relais:
    """A command, by Ann unless the kernel says in the file `login` that somebody else logged in."""
    monkeypatch.setattr("service.cli.common._LOGIN_UID", login)

    def run(*arguments: str | Path, by: int = ANN) -> tuple[int, str, str]:
        login.write_text(str(by))
        status = _run([*map(str, arguments), "--home", str(home.root)])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run
