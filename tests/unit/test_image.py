"""What goes into the container image, and as whom it runs."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
IGNORED = (ROOT / ".dockerignore").read_text("utf-8").split()
STAGES = re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[1:]


def test_the_image_runs_as_a_numeric_user_that_the_pod_names_too():
    assert re.findall(r"^USER (.*)$", STAGES[-1], flags=re.MULTILINE) == ["10001:10001"]
    assert "runAsUser: 10001" in (ROOT / "k8s/base/statefulset.yaml").read_text("utf-8")


def test_both_stages_share_an_interpreter_and_the_last_brings_no_build_tool():
    assert [stage.split()[0] for stage in STAGES] == ["python:3.11-slim", "python:3.11-slim"]
    assert "uv " not in STAGES[-1]
    assert "pip install" not in STAGES[-1]


def test_dependencies_are_those_of_the_lock_file():
    syncs = re.findall(r"uv sync (.*)$", DOCKERFILE, flags=re.MULTILINE)
    assert syncs
    assert all("--frozen" in options and "--no-dev" in options for options in syncs)


def test_only_named_files_enter_the_build():
    assert "*" in IGNORED
    allowed = {line.removeprefix("!") for line in IGNORED if line.startswith("!")}
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, flags=re.MULTILINE)
    assert {name for line in copied for name in line.split()} == allowed
    assert all((ROOT / name).exists() for name in allowed)
    assert "**/*.jwk" in IGNORED
    assert not re.search(r"^(ADD|ARG) ", DOCKERFILE, flags=re.MULTILINE)
