from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from service.cli.common import actor

NOBODY_LOGGED_IN = "4294967295"


@pytest.fixture
def login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the kernel would say of who logged in."""
    file = tmp_path / "loginuid"
    monkeypatch.setattr("service.cli.common._LOGIN_UID", file)
    return file


def test_the_author_is_who_logged_in_also_after_sudo(login: Path):
    nobody = pwd.getpwnam("nobody")
    login.write_text(str(nobody.pw_uid))
    assert actor() == "cli:nobody"


@pytest.mark.parametrize("kernel", [NOBODY_LOGGED_IN, "", None])
def test_else_it_is_the_process_s_user_whatever_the_environment_says(
    login: Path, kernel: str | None, monkeypatch: pytest.MonkeyPatch
):
    if kernel is not None:
        login.write_text(kernel)
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "somebody-else")
    assert actor() == f"cli:{pwd.getpwuid(os.getuid()).pw_name}"


def test_a_user_without_a_name_is_its_number(login: Path):
    login.write_text("3999999999")
    assert actor() == "cli:uid-3999999999"
