"""An ordinary pharmacy at its hardest hours, on real servers with the default budgets: it never meets a limit."""

from __future__ import annotations

import datetime as dt
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from stubs.connection import Signer
from tests.fleet import Installation, Reply
from tests.scenarios.evidence import verify_journal
from tests.scenarios.shifted_clock import SteppingClock

PARIS = ZoneInfo("Europe/Paris")
FINESS = "750012346"
CLIENT = "ordinary"
DAILY = 30


def test_four_tills_sharing_one_key_in_a_rush_are_all_answered(site: Installation, queries: list[bytes]):
    """Each with a connection and tokens of its own; fifteen people waiting at each, then one after the other."""
    site.register(CLIENT, "pharmacy", FINESS)
    site.start("rights", workers=2)

    def till(number: int) -> list[int]:
        signer, line = Signer(CLIENT, site.key(CLIENT)), site.connect()
        statuses = []
        for person in range(25):
            if person >= 15:
                time.sleep(0.9)
            sent = {"Authorization": f"Bearer {signer.token()}"}
            statuses.append(site.ask(queries[25 * number + person], CLIENT, sent, line).status)
        line.close()
        return statuses

    with ThreadPoolExecutor(4) as tills:
        statuses = [status for one in tills.map(till, range(4)) for status in one]
    assert statuses == [200] * 100
    assert verify_journal(site)["entries"] == 100


def local(text: str) -> float:
    return dt.datetime.fromisoformat(text).replace(tzinfo=PARIS).timestamp()


@pytest.mark.parametrize("change", ["usual", "23 hours", "25 hours"])
def test_a_duty_night_over_midnight_has_two_budgets_and_a_new_one_only_then(
    site: Installation, queries: list[bytes], tmp_path: Path, change: str
):
    """Also where the night is that of a change of summer time: what is told is the time that really remains."""
    year = dt.datetime.now(PARIS).year + 1
    today = dt.datetime.now(PARIS).date()
    day = {"usual": today, "23 hours": _last_sunday(year, 3), "25 hours": _last_sunday(year, 10)}[change]
    hours = {"usual": 24, "23 hours": 23, "25 hours": 25}[change]
    tomorrow = day + dt.timedelta(days=1)
    clock = SteppingClock(tmp_path / "clock")
    site.environment |= clock.environment()
    site.register(CLIENT, "pharmacy", FINESS, options=("--daily", str(DAILY), "--unknown", "1000"))
    clock.stop(local(f"{day}T00:00:00"))
    site.start("rights", workers=1, ready=False)
    line = site.connect()

    def ask(at: str, count: int) -> list[Reply]:
        clock.stop(local(at))
        sent = {"Authorization": f"Bearer {Signer(CLIENT, site.key(CLIENT)).mint(int(local(at)))}"}
        return [site.ask(query, CLIENT, sent, line) for query in queries[:count]]

    assert [reply.status for reply in ask(f"{day}T00:00:00", DAILY + 2)] == [200] * DAILY + [429] * 2
    refused = ask(f"{day}T00:00:00", 1)[0]
    assert refused.code == "budget_exhausted"
    assert f";t={hours * 3600}" in refused.headers["RateLimit"]
    assert int(refused.headers["Retry-After"]) == min(hours, 24) * 3600
    for later in ("02:30:00", "12:00:00", "23:59:59"):
        assert [reply.status for reply in ask(f"{day}T{later}", 2)] == [429] * 2, later
    assert [reply.status for reply in ask(f"{tomorrow}T00:00:00", DAILY + 2)] == [200] * DAILY + [429] * 2
    line.close()
    assert site.stop("rights") == 0
    assert verify_journal(site)["entries"] == 2 * DAILY


def _last_sunday(year: int, month: int) -> dt.date:
    last = dt.date(year, month, 31)
    return last - dt.timedelta(days=(last.weekday() + 1) % 7)
