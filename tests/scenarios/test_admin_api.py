"""The admin API before real workers: snapshots on a real home, and two people at once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.fleet import Installation, Reply, wait_until
from tests.scenarios.supply import build, held

SNAPSHOTS = "/admin/v1/snapshots"
LATER = "2099-01-01T00:00:00Z"


@pytest.fixture
def desk(site: Installation) -> Installation:
    """An admin server of two workers where what loosens takes two people: two admins and an operator."""
    site.register("second", "admin")
    site.register("operator", "operator")
    site.environment["RELAIS_CONTROL_TWO_PERSON"] = "always"
    site.start("admin")
    return site


def write(site: Installation, method: str, path: str, client: str = "demo-admin", seen: str = "", **body: Any) -> Reply:
    """A write on what the resource at `seen` is now."""
    etag = site.admin("GET", seen or SNAPSHOTS).headers["ETag"]
    return site.admin(method, path, {"reason": "essai", **body}, client, {"If-Match": etag})


def approve(site: Installation, proposal: Reply, client: str = "second") -> Reply:
    assert proposal.status == 202, proposal.body
    path = proposal.headers["Location"]
    return write(site, "POST", f"{path}/approve", client, path)


def hold(site: Installation, folder: Path, sequence: int) -> Path:
    """Put a signed snapshot among those held; nobody has activated it."""
    return Path(shutil.copytree(folder, site.home / "snapshots" / str(sequence)))


def listed(site: Installation) -> dict[str, Any]:
    document: dict[str, Any] = site.admin("GET", SNAPSHOTS, client="operator").json()
    return document


def orders(site: Installation) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = site.admin("GET", "/admin/v1/orders").json()["orders"]
    return found


def test_a_held_snapshot_is_activated_and_served(desk: Installation, next_night: Path):
    hold(desk, next_night, 2)
    before = listed(desk)
    assert [(one["sequence"], one["state"]) for one in before["snapshots"]] == [(2, "verified"), (1, "active")]
    assert before["snapshots"][0]["counts"]["people"] < before["snapshots"][1]["counts"]["people"]
    assert before["snapshots"][1]["verdict"]["accepted"] is True
    desk.start("rights", workers=1)
    reply = write(desk, "POST", f"{SNAPSHOTS}/2/activate", "operator")
    assert (reply.status, reply.json()["active"]["sequence"]) == (200, 2), reply.body
    order = orders(desk)[0]
    assert (order["kind"], order["actor"], order["reason"]) == ("snapshot.activate", "operator", "essai")
    after = listed(desk)
    assert reply.json() == {name: after[name] for name in reply.json()}
    assert (after["last_load"]["accepted"], after["last_load"]["sequence"]) == (True, 2)
    assert json.loads((desk.home / "node" / "floor.json").read_bytes())["sequence"] == 2
    serving = lambda: desk.request("GET", "/livez").headers["Relais-Snapshot"] == "2"  # noqa: E731 - asked again
    wait_until(serving, 30, lambda: "nobody serves it")
    again = write(desk, "POST", f"{SNAPSHOTS}/2/activate", "operator")
    assert (again.status, again.json()) == (200, reply.json())
    assert orders(desk)[0] == order


def test_what_no_longer_verifies_is_refused_by_its_step_and_nothing_is_ordered(desk: Installation, next_night: Path):
    records = hold(desk, next_night, 2) / "records.lmdb"
    content = bytearray(records.read_bytes())
    content[len(content) // 2] ^= 1
    records.write_bytes(content)
    before = orders(desk)
    reply = write(desk, "POST", f"{SNAPSHOTS}/2/activate")
    assert (reply.status, reply.code) == (409, "conflict")
    assert "refused at step 7" in reply.json()["detail"]
    told = listed(desk)
    assert (told["last_load"]["accepted"], told["last_load"]["step"][0]) == (False, "7")
    assert (told["active"]["sequence"], orders(desk)) == (1, before)
    for verb, body in (("activate", {}), ("pin", {"until": LATER})):
        for sequence in ("3", "0", "x", "01", "9" * 30):
            missing = write(desk, "POST", f"{SNAPSHOTS}/{sequence}/{verb}", **body)
            assert (missing.status, missing.code) == (404, "not_found"), (sequence, missing.body)
    assert orders(desk) == before


def test_findings_are_accepted_by_two_people_and_only_while_it_is_held(desk: Installation):
    few = build(desk, 2, desk.rows()[: len(desk.rows()) // 2])
    folder = hold(desk, few, 2)
    path = f"{SNAPSHOTS}/2/activate"
    refused = write(desk, "POST", path)
    assert (refused.status, refused.code) == (409, "conflict")
    assert "refused at step 9" in refused.json()["detail"]
    proposal = write(desk, "POST", path, accept=True)
    assert proposal.json()["body"]["accepted"]
    assert approve(desk, proposal, "demo-admin").status == 409
    away = folder.with_name("away")
    folder.rename(away)
    gone = approve(desk, proposal)
    assert (gone.status, gone.code) == (409, "conflict")
    assert listed(desk)["active"]["sequence"] == 1
    away.rename(folder)
    approved = approve(desk, proposal)
    assert (approved.status, approved.json()["state"]) == (200, "approved"), approved.body
    assert (listed(desk)["active"]["sequence"], orders(desk)[0]["approved_by"]) == (2, "second")


def test_an_earlier_snapshot_is_pinned_by_two_people_and_unpinned_by_one(desk: Installation, next_night: Path):
    hold(desk, next_night, 2)
    assert write(desk, "POST", f"{SNAPSHOTS}/2/activate").status == 200
    too_high = write(desk, "POST", f"{SNAPSHOTS}/2/pin", until="2024-01-01T00:00:00Z")
    assert (too_high.status, too_high.json()["pointer"]) == (422, "/until")
    assert write(desk, "POST", f"{SNAPSHOTS}/1/pin").status == 422
    seen = desk.admin("GET", SNAPSHOTS).headers["ETag"]
    assert approve(desk, write(desk, "POST", f"{SNAPSHOTS}/1/pin", "operator", until=LATER)).status == 200
    told = listed(desk)
    assert (told["active"]["sequence"], told["pin"]["sequence"], told["pin"]["reason"]) == (1, 1, "essai")
    assert held(desk) == {2: "quarantined", 1: "active"}
    stale = desk.admin("DELETE", "/admin/v1/pin", {"reason": "essai"}, headers={"If-Match": seen})
    assert stale.code == "precondition_failed"
    back = write(desk, "POST", f"{SNAPSHOTS}/2/activate")
    assert (back.status, back.code) == (409, "conflict")
    unpinned = write(desk, "DELETE", "/admin/v1/pin", "operator")
    assert (unpinned.status, unpinned.json()["pin"], unpinned.json()["active"]["sequence"]) == (200, None, 1)
    assert write(desk, "DELETE", "/admin/v1/pin").code == "not_found"


def at_once(count: int, act: Callable[[int], Reply]) -> list[Reply]:
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(act, range(count)))


def test_of_admins_who_set_a_mode_at_once_one_does_and_the_others_are_told(desk: Installation):
    path = "/admin/v1/modes/*"
    desk.bearer("demo-admin", "relais-droits-admin")
    for _ in range(3):
        before, match = len(orders(desk)), {"If-Match": desk.admin("GET", path).headers["ETag"]}
        body = {"mode": "suspended", "reason": "essai"}
        replies = at_once(6, lambda _, match=match, body=body: desk.admin("PUT", path, body, headers=match))
        assert sorted(reply.status for reply in replies) == [200] + [412] * 5
        assert len(orders(desk)) == before + 1


def test_of_two_approvals_at_once_one_gives_the_order(desk: Installation):
    mode = "/admin/v1/modes/0990000011"
    assert write(desk, "PUT", mode, "operator", mode, mode="suspended").status == 200
    proposal = write(desk, "PUT", mode, "operator", mode, mode="degraded")
    before = len(orders(desk))
    path = proposal.headers["Location"]
    match = {"If-Match": desk.admin("GET", path).headers["ETag"]}
    people = ("demo-admin", "second")
    for who in people:
        desk.bearer(who, "relais-droits-admin")
    replies = at_once(
        6, lambda number: desk.admin("POST", f"{path}/approve", {"reason": "vu"}, people[number % 2], match)
    )
    assert [reply.status for reply in replies].count(200) == 1
    assert {reply.code for reply in replies if reply.status != 200} <= {"conflict", "precondition_failed"}
    assert len(orders(desk)) == before + 1
