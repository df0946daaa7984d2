from __future__ import annotations

from typing import Any

import pytest

from service.control.intent import Intent
from service.control.lists import IMPORT, Item
from service.control.proposals import Proposal
from service.web.admin.desk import DESK
from tests.fleet import write_client_key
from tests.unit.web.admin.conftest import Office, Reply, public


async def propose(office: Office, who: str = "anna", mode: str = "live") -> str:
    """The id of a proposal to set the mode everywhere."""
    reply = await office.write("PUT", "modes/*", {"mode": mode, "reason": "retour"}, who)
    assert reply.status == 202, reply.json
    return str(reply.json["id"])


async def decide(office: Office, proposal: str, verb: str, who: str) -> Reply:
    return await office.write("POST", f"proposals/{proposal}/{verb}", {"reason": "vu"}, who, f"proposals/{proposal}")


async def test_another_admin_approves_and_the_order_names_both(careful: Office):
    proposal = await propose(careful, "olga")
    waiting = await careful.get(f"proposals/{proposal}", "aude")
    assert (waiting.json["state"], waiting.json["actor"], waiting.json["order"]) == ("waiting", "olga", None)
    assert waiting.json["loosens"]
    approved = await decide(careful, proposal, "approve", "bruno")
    order = careful.orders()[-1]
    assert (approved.status, approved.json["state"], approved.json["order"]) == (200, "approved", order.version)
    assert (order.kind, order.actor, order.approved_by, order.reason) == ("mode.set", "olga", "bruno", "retour")
    assert (await careful.get("modes/*")).json["mode"] == "live"
    assert approved.etag != waiting.etag


async def test_a_vendors_list_is_approved_whole(careful: Office):
    decisions = careful.app[DESK].decisions
    path = careful.keys / "new.jwk"
    write_client_key(path)
    body = {"class": "pharmacy", "finess": ["330012342"], "keys": [public(path)]}
    items = [Item("client.register", "new", body), Item("client.limit", "new", {"daily": 200}, 3600)]
    heading = Intent(kind=IMPORT, scope="editor", body={}, reason="jour un", actor="cli:ann")
    made = decisions.decide_list(heading, items, careful.clock.now())
    assert isinstance(made, Proposal)
    waiting = (await careful.get(f"proposals/{made.id}")).json
    assert (waiting["kind"], waiting["loosens"]) == ("client.import", "1 client would be registered")
    approved = await decide(careful, made.id, "approve", "bruno")
    given = careful.orders()
    assert (approved.status, approved.json["state"], approved.json["order"]) == (200, "approved", given[-1].version)
    assert (await careful.get("clients/new")).json["now"]["daily"] == 200
    assert [order.approved_by for order in given[-2:]] == ["bruno", "bruno"]


async def test_nobody_approves_their_own(careful: Office):
    proposal = await propose(careful, "anna")
    reply = await decide(careful, proposal, "approve", "anna")
    assert (reply.status, reply.code) == (409, "conflict")
    assert (await careful.get("modes/*")).json["mode"] == "degraded"
    assert (await decide(careful, proposal, "approve", "bruno")).status == 200


@pytest.mark.parametrize("who", ["olga", "aude"])
async def test_only_admins_decide(careful: Office, who: str):
    proposal = await propose(careful)
    for verb in ("approve", "reject"):
        assert (await decide(careful, proposal, verb, who)).code == "scope_missing"
    assert (await careful.get(f"proposals/{proposal}")).json["state"] == "waiting"


@pytest.mark.parametrize("who", ["anna", "bruno"])
async def test_a_proposal_is_rejected_by_another_or_taken_back(careful: Office, who: str):
    proposal = await propose(careful, "anna")
    rejected = await decide(careful, proposal, "reject", who)
    assert (rejected.status, rejected.json["state"], rejected.json["decided_by"]) == (200, "rejected", who)
    assert rejected.json["decided_reason"] == "vu"
    assert (await decide(careful, proposal, "approve", "bruno")).code == "conflict"
    assert (await careful.get("modes/*")).json["mode"] == "degraded"


async def test_a_decision_names_what_was_seen(careful: Office):
    proposal = await propose(careful)
    seen = (await careful.get(f"proposals/{proposal}")).etag
    assert (await decide(careful, proposal, "approve", "bruno")).status == 200
    for verb in ("approve", "reject"):
        late = await careful.send("POST", f"proposals/{proposal}/{verb}", {"reason": "vu"}, "bruno", If_Match=seen)
        assert late.code == "precondition_failed"
    assert [order.approved_by for order in careful.orders()].count("bruno") == 1


async def test_a_proposal_is_over_after_its_hours_or_once_its_subject_changed(careful: Office):
    lapsed = await propose(careful)
    careful.clock.ahead = 24 * 3600 + 1
    assert (await decide(careful, lapsed, "approve", "bruno")).code == "conflict"
    overtaken = await propose(careful)
    await careful.write("PUT", "modes/*", {"mode": "suspended", "reason": "doute"})
    assert (await decide(careful, overtaken, "approve", "bruno")).code == "conflict"
    states = {one["id"]: one["state"] for one in (await careful.get("proposals")).json["proposals"]}
    assert states == {lapsed: "over", overtaken: "over"}
    assert (await careful.get("modes/*")).json["mode"] == "suspended"


async def test_proposals_are_listed_newest_first_and_by_state(careful: Office):
    first = await propose(careful, "olga")
    await decide(careful, first, "reject", "anna")
    second = await propose(careful, "olga")

    async def listed(query: str = "") -> list[Any]:
        return [one["id"] for one in (await careful.get(f"proposals{query}", "aude")).json["proposals"]]

    assert await listed() == [second, first]
    assert await listed("?state=waiting") == [second]
    assert await listed("?state=approved") == []
    for bad in ("?state=MARQUE", "?MARQUE=1", "?state=waiting&state=over"):
        reply = await careful.get(f"proposals{bad}")
        assert reply.code == "invalid_field"
        assert "MARQUE" not in str(reply.json)


async def test_a_listed_proposal_is_the_one_read_and_carries_its_etag(careful: Office):
    proposal = await careful.get(f"proposals/{await propose(careful)}")
    (listed,) = (await careful.get("proposals")).json["proposals"]
    assert listed == proposal.json
    assert listed["etag"] == proposal.etag


async def test_what_nobody_proposed_is_not_found(careful: Office):
    for name in ("MARQUE", "01890000-0000-7000-8000-000000000000", "%00", "'%20or%20''='"):
        for reply in (await careful.get(f"proposals/{name}"), await decide(careful, name, "approve", "anna")):
            assert reply.code == "not_found"
            assert "MARQUE" not in str(reply.json)


async def test_a_vendors_list_is_read_page_by_page(careful: Office):
    path = careful.keys / "new.jwk"
    write_client_key(path)
    key = public(path)
    items = [
        Item("client.register", f"new-{n}", {"class": "pharmacy", "finess": [f"33001{n:04d}"], "keys": [key]})
        for n in range(250)
    ]
    heading = Intent(kind=IMPORT, scope="editor", body={}, reason="jour un", actor="cli:ann")
    made = careful.app[DESK].decisions.decide_list(heading, items, careful.clock.now())
    assert isinstance(made, Proposal)
    shown: list[str] = []
    after: int | None = 0
    while after is not None:
        page = (await careful.get(f"proposals/{made.id}/list?after={after}", "aude")).json
        assert page["list"] == made.body["digest"]
        shown += [order["scope"] for order in page["orders"]]
        after = page["next"]
    assert shown == [item.scope for item in items]
    (last,) = (await careful.get(f"proposals/{made.id}/list?after=249&limit=1000")).json["orders"]
    assert last == {"kind": "client.register", "scope": "new-249", "body": dict(items[-1].body), "lasts": None}
    for query in ("after=-1", "limit=0", "limit=1001", "limit=x", "after=1&after=2", "x=1"):
        assert (await careful.get(f"proposals/{made.id}/list?{query}")).code == "invalid_field", query
    assert (await careful.get(f"proposals/{await propose(careful)}/list")).code == "not_found"
