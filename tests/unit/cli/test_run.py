from __future__ import annotations

from pathlib import Path

import pytest

from service.cli.main import _run
from tests.fleet import free_ports


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        *(("PEOPLE", people, "PEOPLE is a number of people, such as 100000") for people in ("many", "-5", "1e5", "٣")),
        ("PEOPLE", "0", "at least one person"),
        ("WORKERS", "0", "RELAIS_RIGHTS_WORKERS"),
        ("PORT", "99999", "RELAIS_RIGHTS_PORT"),
        ("UPSTREAM", "stubs", "UPSTREAM is stub, or an address"),
    ],
)
def test_a_variable_that_cannot_be_is_one_line_and_leaves_nothing(
    name: str,
    value: str,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    # Set first, so that what the command puts there goes with the test.
    for setting in ("RELAIS_HOME", "RELAIS_RIGHTS_WORKERS", "RELAIS_ADMIN_WORKERS"):
        monkeypatch.setenv(setting, "1")
    for setting, port in zip(("RIGHTS", "ADMIN"), free_ports(2), strict=True):
        monkeypatch.setenv(f"RELAIS_{setting}_PORT", str(port))
    for setting in ("PORT", "ADMIN_PORT", "WORKERS", "PEOPLE", "UPSTREAM", "STUB_PORT"):
        monkeypatch.delenv(setting, raising=False)
    monkeypatch.setenv(name, value)
    assert _run(["run", "--home", str(tmp_path / "home")]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert said in error
    assert not list(tmp_path.iterdir())
