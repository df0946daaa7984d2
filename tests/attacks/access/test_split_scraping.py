"""One credential, however its questions are split, reads one budget a day."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import uuid
from pathlib import Path
from zoneinfo import ZoneInfo

from service.jwk import private_jwk
from stubs.connection import Signer
from tests.attacks.access.doors import FINESS
from tests.fleet import Installation
from tests.scenarios.callers import lines
from tests.scenarios.evidence import verify_journal
from tests.scenarios.shifted_clock import SteppingClock
from tests.unit.access.forge import new_ec, new_ed

CLIENT, DAILY = "splitter", 100
OPTIONS = ("--daily", str(DAILY), "--burst", "100000", "--unknown", "100000")
PARIS = ZoneInfo("Europe/Paris")


def signers(site: Installation) -> list[Signer]:
    """Of a client with a key of either kind, and of the first without its kid: each makes a token a question."""
    keys = [private_jwk(new_ed().key), private_jwk(new_ec().key)]
    site.key(CLIENT).write_text(json.dumps({"keys": keys}))
    site.register(CLIENT, "pharmacy", FINESS, options=OPTIONS)
    files = []
    for number, jwk in enumerate([*keys, {name: value for name, value in keys[0].items() if name != "kid"}]):
        files.append(site.home.with_name(f"split-{number}.jwk"))
        files[-1].write_text(json.dumps(jwk))
    return [Signer(CLIENT, file) for file in files]


def bodies(site: Installation) -> list[bytes]:
    """About many people, by both of a person's identities and in several spellings."""
    asked = []
    for row in site.rows()[:200]:
        rest = {"birth_date": row["birth_date"], "birth_rank": row["birth_rank"]}
        asked += [{"nir": row["nir"], **rest}, {"nir": row["nir"][:13], **rest}]
        if row["amc"] and row["member"]:
            asked.append({"amc": row["amc"], "member": row["member"], **rest})
    return [json.dumps({"beneficiary": person, "finess": FINESS}).encode() for person in asked]


def test_tokens_keys_request_ids_connections_identities_and_hours_share_one_budget(site: Installation, tmp_path: Path):
    """From one in the morning on, a part in each hour, over four workers."""
    clock = SteppingClock(tmp_path / "clock")
    morning = dt.datetime.now(PARIS).replace(hour=1, minute=0, second=0, microsecond=0) + dt.timedelta(days=1)
    site.environment |= clock.environment()
    by = itertools.cycle(signers(site))
    clock.stop(morning.timestamp())
    site.start("rights", workers=4)
    demo = Signer("demo-pharmacy", site.key("demo-pharmacy"))
    questions, statuses = itertools.cycle(bodies(site)), []
    # Opens each with a question of the demo's pharmacy, whose token the stopped clock must find good.
    site._signers["demo-pharmacy relais-droits"] = _Fixed(demo.mint(int(morning.timestamp())))
    with lines(site) as each:
        for hour in range(12):
            now = morning + dt.timedelta(hours=hour)
            clock.stop(now.timestamp())
            for number in range(16):
                line = each[number % 4] if number % 2 else None  # every other one on a new connection
                token = next(by).mint(int(now.timestamp()))
                sent = {"Authorization": f"Bearer {token}", "X-Request-Id": str(uuid.uuid4())}
                statuses.append(site.ask(next(questions), headers=sent, connection=line).status)
    assert set(statuses) == {200, 429}
    assert statuses.count(200) == DAILY
    entries = verify_journal(site)["entries"]
    assert entries == DAILY + 4


def test_two_identities_of_one_pharmacy_have_a_budget_each_and_no_more(site: Installation):
    """As docs/budgets.md says: to be registered twice takes an order, and the sentinel counts the pharmacy."""
    for client in ("one", "two"):
        site.register(client, "pharmacy", FINESS, options=OPTIONS)
    site.start("rights", workers=2)
    questions = bodies(site)
    for client in ("one", "two"):
        statuses = [site.ask(question, client).status for question in questions[:160]]
        assert statuses.count(200) == DAILY, client
        assert statuses.count(429) == 60, client


def test_a_retry_under_its_request_id_reads_nothing_new_and_another_question_under_it_is_refused(site: Installation):
    site.register(CLIENT, "pharmacy", FINESS, options=("--daily", "3"))
    site.start("rights", workers=1)
    first, second = bodies(site)[:2]
    same = {"X-Request-Id": str(uuid.uuid4())}
    line = site.connect()
    answers = {site.ask(first, CLIENT, same, line).body for _ in range(20)}
    assert len(answers) == 1
    assert site.ask(second, CLIENT, same, line).code == "conflict"
    assert [site.ask(second, CLIENT, None, line).status for _ in range(4)] == [200, 200, 429, 429]
    line.close()


class _Fixed:
    """A token that stays."""

    def __init__(self, token: str) -> None:
        self._token = token

    def token(self) -> str:
        return self._token
