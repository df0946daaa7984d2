"""A home with people who sign, made once and copied for each test that asks for it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.unit.cli.ceremony.desk import Desk, make


@pytest.fixture(scope="session")
def ceremony(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that every ceremony begins from."""
    root = tmp_path_factory.mktemp("ceremony")
    make(root)
    return root


@pytest.fixture
def desk(ceremony: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Desk:
    """A copy, with nothing said yet."""
    root = Path(shutil.copytree(ceremony, tmp_path / "desk"))
    capsys.readouterr()
    return Desk(root, capsys)
