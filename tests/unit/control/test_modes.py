from __future__ import annotations

import pytest

from service.control.modes import check_mode, differing_scopes
from service.errors import OperatorError
from tests.unit.control.control_chain import NOON
from tests.unit.control.test_orders import AMC, state_of
from tests.unit.control.test_state import mode


def test_live_needs_an_upstream():
    with pytest.raises(OperatorError, match="no upstream"):
        check_mode("live", upstream_configured=False)
    check_mode("live", upstream_configured=True)
    check_mode("degraded", upstream_configured=False)
    check_mode("suspended", upstream_configured=False)


def test_scopes_that_differ_are_those_with_another_mode_of_their_own():
    view = state_of(mode("suspended", AMC), mode("degraded", "0123456789"), mode("live")).view(NOON)
    assert differing_scopes(view, "degraded") == [AMC]
    assert differing_scopes(view, "live") == ["0123456789", AMC]
