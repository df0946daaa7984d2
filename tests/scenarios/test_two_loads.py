"""Two people load at once: nothing is activated that was compared with what no longer serves."""

from __future__ import annotations

import pytest

from service.cli import activation
from service.cli.common import open_home
from service.errors import OperatorError
from tests.fleet import Installation
from tests.scenarios.supply import build, held, load


def test_a_load_judged_by_a_floor_that_was_raised_meanwhile_is_refused(
    site: Installation, monkeypatch: pytest.MonkeyPatch
):
    place, settings = open_home(site.home)
    before = activation.current_state(place, settings)
    third = build(site, 3)
    load(site, build(site, 2))
    monkeypatch.setattr(activation, "current_state", lambda *_: before)
    with pytest.raises(OperatorError, match="load it again"):
        activation.activate_folder(place, settings, third)
    monkeypatch.undo()
    assert held(site)[2] == "active"
    load(site, third)
    assert held(site)[3] == "active"
