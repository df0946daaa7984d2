"""Whatever is asked, and however it fails, nobody's numbers are found afterwards: in logs, files, errors, processes."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fleet import Installation, Reply, wait_until
from tests.scenarios.evidence import Search, identities_found
from tests.scenarios.supply import build, load
from tests.upstreams import people_of, upstream


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


@dataclass
class Told:
    """Whatever the servers and the commands say in a story but answers, which are for the pharmacy: it names nobody."""

    site: Installation
    search: Search
    words: int = 0

    def clean(self, data: bytes, what: object) -> None:
        self.words += len(data.split())
        assert self.search.found(data) == [], what

    def reply(self, reply: Reply, *codes: str) -> Reply:
        self.clean(str(reply.headers).encode() + (b"" if reply.status == 200 else reply.body), (reply.status, codes))
        if codes:
            assert reply.code in codes, reply.body
        return reply

    def ask(self, query: Any, *codes: str, client: str = "demo-pharmacy", **headers: str) -> Reply:
        return self.reply(self.site.ask(query, client, headers), *codes)

    def command(self, *words: str, status: int | None = 0) -> str:
        done = self.site.relais(*words, status=status)
        self.clean((done.stdout + done.stderr).encode(), words[:2])
        return done.stdout


def everybody(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A person in each shape a query may have."""
    rest = {"birth_date": row["birth_date"], "birth_rank": row["birth_rank"]}
    return [
        {"nir": row["nir"], **rest},
        {"nir": row["nir"][:13], **rest},
        {**rest, "amc": row["amc"], "member": row["member"]},
    ]


def test_a_whole_story_names_nobody_in_logs_errors_commands_and_crashes(site: Installation, tmp_path: Path):
    """Live, degraded, suspended; budgets, suspensions, proofs, reports, a fault of our own, kills: all is read."""
    rows = [row for row in site.rows() if row["amc"] and row["member"] and row["birth_date"] < "2015"][:40]
    told = Told(site, Search(site.rows()))
    person = everybody(rows[0])[0]
    doomed = rows[-1]["nir"][:13]
    site.register("small", "pharmacy", "130012342", options=("--daily", "3"))
    with upstream(tmp_path, *people_of(site.home)) as visiodroits:
        site.environment |= {
            "RELAIS_UPSTREAM_URL": visiodroits.url,
            "PYTHONPATH": str(Path(__file__).with_name("fault")),
            "FAULT_OF_IDENTITY": hashlib.sha256(doomed.encode()).hexdigest(),
        }
        site.relais("mode", "set", "live", "--reason", "the upstream is well")
        site.start("rights", workers=2)
        site.start("admin", workers=1)
        for fault in ({}, {"wrong_person": True}, {"garbage": True}, {"drop": True}, {"error_percent": 100}):
            visiodroits.faults(**fault)
            for row in rows[:10]:
                for one in everybody(row):
                    assert told.ask({"beneficiary": one}).status == 200
            visiodroits.mend()
        visiodroits.kill()
        told.ask({"beneficiary": person})
    told.command("mode", "set", "degraded", "--reason", "the upstream is gone")
    _refusals(told, person, rows[0])
    # A fault of our own, whose text names the person.
    assert told.ask({"beneficiary": everybody(rows[-1])[0]}, "internal").status == 500
    assert "request_failed" in site.read_log("rights")
    for number in (signal.SIGABRT, signal.SIGSEGV, signal.SIGKILL):
        before = site.workers()
        os.kill(before[0], number)
        wait_until(
            lambda gone=before[0]: gone not in site.workers() and len(site.workers()) == 2, 20, lambda: "no worker"
        )
    site.wait_ready()
    answer = site.ask({"beneficiary": person})
    _desk(told, answer.body, rows[0], tmp_path)
    told.command("mode", "set", "suspended", "--reason", "doubt")
    told.ask({"beneficiary": person}, "service_suspended")
    assert site.stop("rights") == 0
    assert site.stop("admin") == 0
    assert told.words > 2_000
    assert identities_found(site) == []


def _refusals(told: Told, person: Mapping[str, Any], row: Mapping[str, Any]) -> None:
    """Every way to be told no, with the person in it."""
    replies = [told.ask({"beneficiary": person}, client="small") for _ in range(12)]
    assert {reply.code for reply in replies if reply.status != 200} == {"budget_exhausted"}
    told.command("client", "suspend", "small", "--reason", "test")
    told.ask({"beneficiary": person}, "client_suspended", client="small")
    told.ask({"beneficiary": person}, "token_invalid", Authorization=f"Bearer {row['nir']}.{row['member']}.x")
    told.ask({"beneficiary": person}, "token_missing", Authorization=f"Basic {row['nir']}")
    told.ask({"beneficiary": person, "finess": row["nir"][:9]}, "finess_not_allowed")
    told.ask({"beneficiary": person}, "media_type", **{"Content-Type": f"text/{row['nir']}"})
    for body in faults(dict(row)):
        told.ask(body, "invalid_field", "malformed_json", "finess_not_allowed")
    for name, text in (("If-Match", row["nir"]), ("X-Request-Id", row["nir"]), ("Accept", row["member"])):
        sent = {"mode": row["nir"], "reason": f"{row['member']} {row['birth_date']} {row['nir']}"}
        assert (
            told.reply(told.site.admin("PUT", f"/admin/v1/modes/{row['nir']}", sent, headers={name: text})).status
            >= 400
        )
    for path in ("/livez", "/readyz", "/metrics", "/v1/status", "/.well-known/jwks.json", f"/docs?nir={row['nir']}"):
        for server in ("rights", "admin"):
            told.reply(told.site.request("GET", path, server=server))  # type: ignore[arg-type]


def _desk(told: Told, response: bytes, row: Mapping[str, Any], folder: Path) -> None:
    """What operators and officers do afterwards, well and badly; only the files for the AMCs name people."""
    proof = json.loads(response)
    bent = {"answer": {**proof["answer"], "status": row["nir"]}, "receipt": proof["receipt"]}
    for document in (
        {name: proof[name] for name in ("answer", "receipt")},
        bent,
        {"answer": row["nir"], "receipt": row["nir"]},
    ):
        verified = told.site.request(
            "POST", "/v1/receipts/verify", json.dumps(document).encode(), {"Content-Type": "application/json"}
        )
        told.clean(verified.body, "receipts/verify")
    file = folder / "answer.json"
    file.write_bytes(response)
    told.command("receipt", "verify", str(file))
    file.write_text(json.dumps(bent))
    told.command("receipt", "verify", str(file), status=1)
    officer = str(told.site.home / "keys" / "officer.jwk")
    told.command("journal", "verify")
    told.command("journal", "verify", "--json")
    told.command("journal", "report", "--all", "--since", "1d", "--officer-key", officer)
    told.command("journal", "export", "--since", "1d", status=None)
    out = folder / "affected"
    words = ("--since", "1d", "--officer-key", officer, "--out", str(out))
    told.command("journal", "affected", "--client", "demo-pharmacy", *words)
    assert any(told.search.found(path.read_bytes()) for path in out.iterdir()), "the list names nobody"
    for wrong in (
        ("journal", "report", "--client", row["nir"], "--since", "1d"),
        ("client", "suspend", row["nir"], "--reason", "test"),
        ("client", "suspend", "small", "--reason", row["nir"]),
        ("receipt", "verify", str(folder / "nothing.json")),
        ("mode", "set", "degraded", "--scope", row["nir"], "--reason", "test"),
        ("notice", "put", "x", "--severity", "info", "--text", row["nir"], "--reason", "test"),
    ):
        told.command(*wrong, status=None)
    told.command("status")
    told.command("status", "--fleet", "--json")
    told.command("client", "list")
    told.command("orders", "list")


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
        (next(row["birth_date"] for row in site.rows() if row["birth_date"] < "2015"), "orders/note"),
    ):
        path = site.home / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"somebody asked for {number} today")
        assert len(identities_found(site)) == 1, name
        path.unlink()
