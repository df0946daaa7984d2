from __future__ import annotations

from pathlib import Path

import pytest

from service.cli.main import _run


@pytest.mark.parametrize("people", ["many", "-5", "1e5", "٣"])
def test_a_number_of_people_that_is_none_is_refused_in_one_line(
    people: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    for name, value in {"PEOPLE": people, "PORT": "0", "ADMIN_PORT": "0", "RELAIS_HOME": "", "WORKERS": ""}.items():
        monkeypatch.setenv(name, value)
    for name in ("RELAIS_RIGHTS_PORT", "RELAIS_ADMIN_PORT"):
        monkeypatch.setenv(name, "0")
    assert _run(["run", "--home", str(tmp_path / "home")]) == 1
    assert capsys.readouterr().err == "relais: PEOPLE is a number of people, such as 100000\n"
    assert not (tmp_path / "home").exists()
