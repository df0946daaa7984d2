from __future__ import annotations

import importlib
import inspect
import re
import tomllib
from functools import reduce

import msgspec
import pytest
from cyclopts import App

from service.access.clients import ClientClass
from service.access.enrolment import Refusal
from service.cli.dispatch import app
from service.cli.exits import Exit
from service.control.format import Kind, Order
from service.control.history import Filters
from service.control.proposals import Proposal
from service.journal.affected import Affected
from service.journal.damage import REMARKS, Cause, Evidence
from service.journal.disclosure import Category
from service.journal.receipt import ReceiptFault
from service.journal.summary import People, Summary
from service.journal.summary import Report as BreachReport
from service.reconcile.compare import Verdict as VerdictOfContract
from service.reconcile.journals import Left
from service.reconcile.recorded import Place
from service.reconcile.report import Amc, Report
from service.rights.model import Advice, Freshness, Mode, Status
from service.rights.reasons import Reason, sentence
from service.settings import Settings
from service.snapshot.catalog import State
from service.snapshot.compare import Comparison, PolicyChange
from service.snapshot.steps import Step
from service.snapshot.supply import Code, Supply
from service.snapshot.verdict import Verdict
from service.web import routes, status
from service.web.admin import clients, modes, notices, snapshots
from service.web.decoding import Beneficiary, RightsBody
from service.web.problems import CATALOGUE
from tests.unit.docs import pages
from tests.unit.docs.pages import ROOT, named, rows, sections, text

SECTIONS = {name: getattr(Settings(), name) for name in Settings.__struct_fields__}


def command_names(group: App, *words: str) -> list[str]:
    found = []
    for name in group:
        if not name.startswith("-"):
            found += command_names(group[name], *words, name) or [" ".join(("relais", *words, name))]
    return found


def test_every_setting_stands_in_its_section_with_its_default():
    assert list(sections("settings.md")) == list(SECTIONS)
    for section, defaults in SECTIONS.items():
        table = rows(sections("settings.md")[section])[1:]
        documented = {row[0].strip("`"): tomllib.loads(f"value = {row[1].strip('`')}")["value"] for row in table}
        assert documented == msgspec.json.decode(msgspec.json.encode(defaults)), section


@pytest.mark.parametrize("section", SECTIONS)
def test_every_number_and_file_has_a_unit(section: str):
    for key, _, unit, _ in rows(sections("settings.md")[section])[1:]:
        assert unit or isinstance(getattr(SECTIONS[section], key.strip("`")), bool), key


def test_every_error_stands_as_in_the_catalogue():
    (table,) = (part for part in text("errors.md").split("\n\n") if part.startswith("| code |"))
    documented = {row[0].strip("`"): tuple(row[1:5]) for row in rows(table)[1:]}
    assert documented == {
        code: (str(entry.status), f"`{entry.action}`", entry.title, entry.counter_text)
        for code, entry in CATALOGUE.items()
    }
    assert all(row[5] for row in rows(table))


def test_every_action_is_explained():
    assert {entry.action for entry in CATALOGUE.values()} <= set(named(text("errors.md")))


def test_every_route_stands_with_its_server():
    documented = {
        (server, row[1].strip("`"))
        for row in rows(text("http.md").partition("## ")[0])[1:]
        for server in row[0].split(", ")
    }
    served = {
        (server, f"{route.method} {route.path}")
        for server, table in (("rights", routes.RIGHTS), ("admin", routes.ADMIN))
        for route in table
    }
    assert documented == served


def test_every_readiness_code_stands_with_its_weight():
    told = dict(re.findall(r'yield "([a-z_]+)", (True|False)', inspect.getsource(status)))
    told |= {code.value: "False" for code in Code}
    table = rows(sections("http.md")["GET /readyz"])[1:]
    documented = {code: row[1] for row in table for code in re.findall(r"`([a-z_]+)`", row[0])}
    assert documented.keys() == told.keys()
    assert {code for code, weight in documented.items() if weight.startswith("yes")} == {
        code for code, blocking in told.items() if blocking == "True"
    }


def test_every_warning_has_a_row_at_3_a_m():
    symptoms = " ".join(row[0] for row in rows(sections("operate.md")["3 a.m."]))
    for code in set(Code) - {Code.SNAPSHOT_EXPIRED}:
        assert f"`{code.value}`" in symptoms, code
    assert "`snapshot_expired`" in symptoms


def test_every_stage_of_the_supply_stands():
    table = rows(sections("http.md")["GET /v1/status"].partition("`supply` says")[2])
    documented = {name for row in table[1:] for name in re.findall(r"`(\w+)`", row[0])}
    assert documented == set(Supply.__struct_fields__)


def test_every_member_of_a_verdict_and_of_a_comparison_stands():
    verification = sections("trust_format.md")["Verification, step by step"]
    verdict = verification.partition("### Verdict")[2]
    documented = {name for row in rows(verdict)[1:] for name in re.findall(r"`(\w+)`", row[0])}
    assert documented == set(Verdict.__struct_fields__)
    comparison = verification.partition("### Comparison")[2].partition("### Verdict")[0]
    for name in (*Comparison.__struct_fields__, *PolicyChange.__struct_fields__, "totals", "added", "vanished"):
        assert f"`{name}`" in comparison, name


def test_every_field_of_a_question_stands():
    fields = {f"beneficiary.{name}" for name in Beneficiary.__struct_fields__}
    fields |= set(RightsBody.__struct_fields__) - {"beneficiary"}
    assert fields == set(named(sections("http.md")["POST /v1/rights"].partition("Numbers are text")[0]))


@pytest.mark.parametrize(
    ("body", "section"),
    [
        (modes.ModeBody, "/admin/v1/modes/{scope}"),
        (snapshots.ActivateBody, "/admin/v1/snapshots and /admin/v1/pin"),
        (snapshots.PinBody, "/admin/v1/snapshots and /admin/v1/pin"),
        (notices.NoticeBody, "/admin/v1/notices"),
        (clients.ClientBody, "/admin/v1/clients"),
        (Filters, "/admin/v1/orders"),
        (Proposal, "Proposals"),
    ],
)
def test_every_field_of_an_admin_body_filter_and_proposal_stands(body: type[msgspec.Struct], section: str):
    for field in msgspec.structs.fields(body):
        assert f"`{field.encode_name}`" in sections("http.md")[section], field.encode_name


@pytest.mark.parametrize("kind", [Status, Advice], ids=["statuses", "advice"])
def test_every_word_of_an_answer_is_in_the_guide_for_developers(kind: type[Status | Advice]):
    for word in kind:
        assert f"`{word}`" in text("integrate.md")
        assert f"`{word}`" in text("http.md")


def test_every_order_kind_and_member_stands():
    kinds, members = {kind.value for kind in Kind}, {*Order.__struct_fields__, *Proposal.__struct_fields__}
    assert set(named(text("orders.md"))) == kinds | members


def test_every_reason_stands_with_its_sentence():
    documented = {row[0].strip("`"): row[3] for row in rows(sections("degraded_modes.md")["Reasons"])[1:]}
    assert documented == {reason.value: sentence(reason) for reason in Reason}


def test_every_mode_and_freshness_is_explained():
    for word in (*Mode, *Freshness):
        assert f"`{word.value}`" in text("degraded_modes.md")


def test_every_command_stands():
    documented = [word for word in named(text("commands.md")) if word.startswith("relais ")]
    assert sorted(documented) == sorted(command_names(app))


def test_every_exit_status_stands():
    documented = {int(row[0]) for row in rows(text("commands.md")) if row[0].isdigit()}
    assert documented == {int(one) for one in Exit}


def test_every_state_of_a_snapshot_is_named():
    assert all(state.value in text("commands.md") for state in State)


def test_every_step_of_verification_stands_in_both_pages():
    for page in ("trust_format.md", "operate.md"):
        assert {step.value for step in Step} <= {row[0] for row in rows(text(page))}


def test_every_cause_of_damage_stands_with_its_weight():
    documented = {row[0].strip("`"): row[2] for row in rows(sections("journal_format.md")["Verifying"])[1:]}
    assert documented == {cause.value: "no" if cause in REMARKS else "yes" for cause in Cause}


def test_every_verdict_and_member_of_a_reconciliation_stands():
    page = sections("reconcile.md")
    assert [row[0].strip("`") for row in rows(page["Verdicts"])[1:]] == [verdict.value for verdict in VerdictOfContract]
    assert set(named(page["report.json"])) == set(Report.__struct_fields__)
    for name in (*Amc.__struct_fields__, *Evidence.__struct_fields__, *Place.__struct_fields__, *Left):
        assert f"`{name}`" in page["report.json"], name


def test_every_category_and_member_of_a_breach_report_stands():
    page = sections("breach.md")
    report, concerned = page["The report"], page["The people concerned"]
    assert {row[0].strip("`") for row in rows(report)} >= {category.value for category in Category}
    for name in (*BreachReport.__struct_fields__, *Summary.__struct_fields__, *People.__struct_fields__):
        assert f"`{name}`" in report, name
    for name in Affected.__struct_fields__:
        assert f"`{name}`" in concerned, name


def test_every_fault_of_a_receipt_stands():
    assert set(named(sections("journal_format.md")["Receipts"])) == {fault.value for fault in ReceiptFault}


def test_every_refusal_of_a_list_stands():
    assert set(map(str, Refusal)) <= set(pages.named(pages.sections("clients.md")["A vendor's list"]))


def test_every_class_of_client_is_named():
    help_text = app["client"]["add"].assemble_argument_collection()[1]
    assert help_text.parameter.name == ("--class",)
    for one in (ClientClass.PHARMACY, ClientClass.HUB, ClientClass.OPERATOR, ClientClass.ADMIN, ClientClass.AUDITOR):
        assert one.value in text("http.md")


def test_the_tour_names_what_is_there():
    names = re.findall(r"`(service/[\w/]+)\.py(?::([\w.]+))?`", text("tour.md"))
    assert len(names) > 60
    for path, name in names:
        module = importlib.import_module(path.replace("/", "."))
        reduce(getattr, name.split(".") if name else [], module)


@pytest.mark.parametrize("page", pages.PAGES, ids=pages.name)
def test_every_path_into_the_repository_is_there(page: pages.Path):
    for path in re.findall(
        r"`((?:service|stubs|tests|docs|k8s|benchmarks)/[\w/.-]+?)(?::[\w.]+)?`", page.read_text("utf-8")
    ):
        assert (ROOT / path).exists(), path


def test_every_test_of_the_threat_model_is_there():
    names = re.findall(r"`((?:unit|attacks|scenarios|faces)/[\w/]+\.py)(?:::(\w+))?`", text("threat_model.md"))
    assert len(names) > 100
    assert len(names) == len(re.findall(r"`\w+/[\w/]*test_\w+\.py[\w:]*`", text("threat_model.md")))
    for file, test in names:
        assert not test or f"def {test}(" in (ROOT / "tests" / file).read_text("utf-8"), f"{file}::{test}"


def test_every_family_of_attacks_is_in_the_threat_model():
    families = {f"attacks/{path.name}" for path in (ROOT / "tests" / "attacks").glob("test_*.py")}
    assert len(families) > 15
    assert families <= set(re.findall(r"`(attacks/test_\w+\.py)::", text("threat_model.md")))


def test_every_decision_is_in_the_index():
    decisions = {path.name for path in (pages.DOCS / "adr").iterdir()}
    assert set(re.findall(r"\(adr/([\w.-]+)\)", text("index.md"))) == decisions


def test_every_page_is_reachable_from_the_index():
    linked = set(re.findall(r"\]\(([\w./-]+\.md)\)", text("index.md")))
    assert {str(path.relative_to(pages.DOCS)) for path in pages.DOCS.rglob("*.md")} <= linked | {"index.md"}
