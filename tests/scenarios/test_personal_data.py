"""Whatever is asked, and however it fails, nobody's numbers are found afterwards: in logs, files, errors, processes."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

from tests.fleet import Installation, wait_until
from tests.scenarios.evidence import identities_found
from tests.scenarios.supply import build, load


def faults(row: dict[str, Any]) -> list[bytes]:
    """Questions about one person that each fail in another way."""
    nir, born, member = row["nir"], row["birth_date"], row["member"]
    person = {"nir": nir, "birth_date": born, "birth_rank": 1}
    bodies: list[Any] = [
        {"beneficiary": {**person, "nir": nir[:-1] + str((int(nir[-1]) + 1) % 10)}},
        {"beneficiary": {**person, "birth_date": nir}},
        {"beneficiary": {**person, "birth_rank": nir}},
        {"beneficiary": {**person, member: member}},
        {"beneficiary": person, "amc": member},
        {"beneficiary": person, "benefits": [nir]},
        {"beneficiary": person, "finess": nir},
        {"beneficiary": person, "service_date": nir},
        {"beneficiary": {"amc": row["amc"], "member": member * 9, "birth_date": born, "birth_rank": 1}},
        [person],
        nir,
    ]
    raw = [json.dumps(body).encode() for body in bodies]
    return [*raw, raw[0][:-3], raw[0] + raw[0], raw[0].replace(b"{", b"[", 1), b"\xff" + raw[0], b"[" * 50_000 + raw[0]]


def test_no_failure_leaves_anybodys_number(site: Installation):
    site.start("rights", workers=2)
    site.start("admin", workers=1)
    person = next(row for row in site.rows() if row["amc"] and row["member"])
    numbers = (person["nir"][:13], person["member"])
    for body in faults(person):
        refused = site.ask(body)
        assert 400 <= refused.status < 500, body
        assert not any(number in refused.body.decode() + str(refused.headers) for number in numbers)
    for path in (f"/v1/rights/{person['nir']}", f"/v1/rights?nir={person['nir']}", f"/{person['member']}"):
        for server in ("rights", "admin"):
            refused = site.request("GET", path, server=server)  # type: ignore[arg-type]
            assert refused.status in (404, 405)
            assert not any(number in refused.body.decode() + str(refused.headers) for number in numbers)
    for header in ("Authorization", "X-Request-Id", "Content-Type", "Content-Encoding"):
        site.ask(site.example("open"), headers={header: person["nir"]})
    member = {name: person[name] for name in ("amc", "member", "birth_date", "birth_rank")}
    assert site.ask({"beneficiary": member}).status == 200
    for row in site.rows()[:30]:
        asked = {name: row[name] for name in ("nir", "birth_date", "birth_rank")}
        assert site.ask({"beneficiary": asked}).status == 200
    refused = site.admin(
        "PUT", "/admin/v1/modes/*", {"mode": "suspended", "reason": person["nir"]}, headers={"If-Match": "*"}
    )
    assert refused.status == 422
    said = site.relais("mode", "set", "suspended", "--reason", f"call {person['nir']}", status=1)
    assert not any(number in said.stdout + said.stderr for number in numbers)
    os.kill(site.workers()[0], signal.SIGABRT)
    wait_until(lambda: len(site.workers()) == 2, 20, lambda: "no worker came back")
    assert identities_found(site) == []


def test_a_build_that_rejects_rows_names_places_and_nobody(site: Installation):
    rows = site.rows()
    bad = [{**rows[0], "birth_date": rows[0]["nir"]}, {**rows[1], "nir": rows[1]["member"]}]
    folder = build(site, 2, [*bad, *rows[2:]], signers=())
    rejects = folder.with_name("built-2.rejects.ndjson").read_text()
    assert [json.loads(line)["line"] for line in rejects.splitlines()] == [1, 2]
    for row in rows[:2]:
        assert row["nir"][:13] not in rejects
        assert row["member"] not in rejects
    refused = load(site, folder, status=1)
    assert "no signature" in refused
    unknown = site.home.with_name("unknown.ndjson")
    unknown.write_text(json.dumps({**rows[0], "name": "Dupont"}) + "\n")
    words = ["snapshot", "build", "--source", str(unknown), "--policy", str(site.home / "demo" / "policy.toml")]
    said = site.relais(*words, "--out", str(site.home.with_name("built-3")), "--sequence", "3", status=1)
    assert "Dupont" not in said.stdout + said.stderr
    assert rows[0]["nir"][:13] not in said.stdout + said.stderr
    assert not site.home.with_name("built-3").exists()


def test_the_search_finds_what_it_looks_for(site: Installation):
    """The other stories trust it to find nothing."""
    person = site.rows()[0]
    for number, name in (
        (person["nir"], "node/note"),
        (f"9{person['nir'][:13]}9", "run/note"),
        (person["member"], "note"),
    ):
        path = site.home / name
        path.write_text(f"somebody asked for {number} today")
        assert len(identities_found(site)) == 1, name
        path.unlink()
