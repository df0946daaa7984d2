from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fleet import Installation, installation
from tests.unit.docs import pages
from tests.unit.docs.pages import DOCS, ROOT, fenced

_SEPARATOR = "~~~ block ended"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A small demo installation with both servers."""
    with installation(tmp_path_factory.mktemp("pages") / "home", people=2000) as made:
        made.start("rights")
        made.start("admin")
        yield made


@pytest.fixture
def checkout(served: Installation, tmp_path: Path) -> Path:
    """A folder that looks like a checkout in which `make run` has been started."""
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (tmp_path / ".relais").symlink_to(served.home)
    return tmp_path


def play(blocks: list[str], served: Installation, checkout: Path) -> list[tuple[int, str]]:
    """Status and output of each block, in one shell, with the ports this installation has."""
    script = "".join(f"{block}\nprintf '\\n{_SEPARATOR} %d\\n' $?\n" for block in blocks)
    script = script.replace(":8080", f":{served.ports['rights']}").replace(":8081", f":{served.ports['admin']}")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RELAIS_")}
    done = subprocess.run(
        ["bash", "-uo", "pipefail", "-c", script],
        cwd=checkout,
        env={**environment, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=True,
    )
    played, output = [], ""
    for line in done.stdout.splitlines(keepends=True):
        if line.startswith(_SEPARATOR):
            played.append((int(line.removeprefix(_SEPARATOR)), output))
            output = ""
        else:
            output += line
    return played


def test_the_readme_does_what_it_shows(served: Installation, checkout: Path):
    asked, verified, tampered, switched = play(fenced(ROOT / "README.md", "sh"), served, checkout)
    assert json.loads(asked[1])["answer"]["status"] == "open"
    assert verified[0] == 0
    assert "valid: recorded at" in verified[1]
    assert "its head stands in the journal" in verified[1]
    assert tampered[0] == 1
    assert "the receipt does not hold (root_mismatch)" in tampered[1]
    assert switched[0] == 0
    assert "service_suspended" in switched[1]
    assert re.search(r"mode degraded\n(\d) live workers, \1 follow", switched[1])


def guide() -> dict[str, Any]:
    """What the code of the guide for developers defines."""
    names: dict[str, Any] = {}
    for block in fenced(DOCS / "integrate.md", "python"):
        exec(block, names)  # noqa: S102 - the page's own code
    return names


def client(served: Installation, key: str = "demo-pharmacy") -> Any:
    return guide()["Relais"](f"http://127.0.0.1:{served.ports['rights']}", "demo-pharmacy", str(served.key(key)))


@pytest.mark.parametrize(("name", "colour"), [("open", "green"), ("closed", "red"), ("unknown", "orange")])
def test_the_guides_client_asks_and_shows(name: Any, colour: str, served: Installation):
    status, document = client(served).ask(served.example(name))
    assert status == 200
    shown, words = guide()["screen"](status, document)
    assert shown == colour
    assert document["counter_text"] in words
    assert "Mode secours" in words


def test_the_guides_client_shows_a_problem_instead_of_failing(served: Installation):
    wrong = {"beneficiary": {"nir": "185057511600158", "birth_date": "1985-05-12"}}
    status, document = client(served).ask(wrong)
    assert (status, document["code"]) == (422, "invalid_field")
    assert guide()["screen"](status, document) == ("orange", document["counter_text"])


def test_the_guides_client_sets_its_clock_by_the_server(served: Installation):
    late = client(served)
    late.clock_offset = -3600.0
    assert late.ask(served.example("open"))[0] == 200
    assert abs(late.clock_offset) < 60


def test_the_guides_client_gives_up_on_a_foreign_key_and_on_a_silent_server(served: Installation):
    assert client(served, "demo-hub").ask(served.example("open"))[0] == 401
    silent = client(served)
    silent.url = "http://127.0.0.1:1"
    status, document = silent.ask(served.example("open"))
    assert status == 0
    assert guide()["screen"](status, document)[1].startswith("Service injoignable")


def test_the_guides_commands_run(served: Installation, checkout: Path):
    _, document = client(served).ask(served.example("open"))
    (checkout / "response.json").write_text(json.dumps(document))
    receipts, asked = play(fenced(DOCS / "integrate.md", "sh"), served, checkout)
    assert receipts[0] == 0
    assert "valid: recorded at" in receipts[1]
    assert "Au comptoir" in receipts[1]
    assert asked[0] == 0
    assert "Reçu vérifié" in asked[1]


def test_the_admin_requests_of_the_page_work_as_shown(served: Installation):
    read = served.admin("GET", "/admin/v1/modes/*")
    assert read.headers["ETag"].startswith('"*-')
    etag = served.admin("GET", "/admin/v1/modes/0990000011").headers["ETag"]
    body = {"mode": "suspended", "reason": "insurer asked"}
    assert served.admin("PUT", "/admin/v1/modes/0990000011", body).code == "precondition_required"
    assert served.admin("PUT", "/admin/v1/modes/0990000011", body, headers={"If-Match": etag}).status == 200
    assert served.admin("PUT", "/admin/v1/modes/0990000011", body, headers={"If-Match": etag}).code == (
        "precondition_failed"
    )
    served.set_mode("degraded", scope="0990000011")


def test_a_receipt_is_verified_by_the_route_as_shown(served: Installation):
    response = served.ask(served.example("open")).json()
    body = json.dumps({"answer": response["answer"], "receipt": response["receipt"]}).encode()
    headers = {"Content-Type": "application/json"}
    verdict = served.request("POST", "/v1/receipts/verify", body, headers).json()
    assert verdict["valid"] is True
    assert verdict["reason"] is None
    assert set(verdict["head"]) == {"at", "entries", "first", "journal", "previous", "root", "size"}
    bent = served.request("POST", "/v1/receipts/verify", body.replace(b'"open"', b'"shut"'), headers)
    assert (bent.status, bent.json()["valid"], bent.json()["reason"]) == (200, False, "root_mismatch")


def test_the_chain_of_orders_verifies_with_the_code_of_its_page(served: Installation):
    names: dict[str, Any] = {}
    (code,) = fenced(DOCS / "orders.md", "python")
    exec(code, names)  # noqa: S102 - the page's own code
    lines = (served.home / "node" / "orders.jsonl").read_text().splitlines()
    orders = [json.loads(line)["order"] for line in lines]
    files = {"relais-order+jws": "order.pub.jwk", "relais-sentinel-order+jws": "receipt.pub.jwk"}
    keys = {typ: [json.loads((served.home / "keys" / name).read_text())] for typ, name in files.items()}
    payloads = names["verify_chain"](orders, keys)
    assert payloads == json.loads(served.relais("orders", "list", "--json").stdout)["orders"]
    with pytest.raises(ValueError, match="does not follow"):
        names["verify_chain"]([orders[0], *orders[2:]], keys)


def test_a_document_of_the_status_has_the_members_its_page_names(served: Installation):
    page = pages.sections("http.md")["GET /v1/status"]
    document = served.request("GET", "/v1/status").json()
    parts = (document, document["snapshot"], document["modes"][0], document["snapshot"]["amcs"][0], document["supply"])
    for member in (name for part in parts for name in part):
        assert f"`{member}`" in page, member


def test_an_answer_has_the_members_its_page_names(served: Installation):
    answer = served.ask(served.example("open")).json()["answer"]
    documented = set(pages.named(pages.sections("http.md")["POST /v1/rights"].partition("Of `answer`:")[2]))
    assert set(answer) == documented
    fields = pages.text("degraded_modes.md")
    for member in answer["contracts"][0]:
        assert f"`{member}`" in fields, member
