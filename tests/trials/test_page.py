"""The page without a browser: its content, and its forms without scripts."""

import json
import re
from html import unescape

from flask_sqlalchemy_testbed.backends.base import Backend
from flask_sqlalchemy_testbed.checks.claims import CHECKS
from tests.trials.conftest import Visitor
from trials.history import KEPT
from trials.mounts import Mounted
from trials.scenarios import ALL


def test_the_page_shows_the_status_of_the_backend(visitor: Visitor, mounted: Mounted) -> None:
    state = visitor.state()

    assert (state["status"], state["sessions"], state["checked_out"]) == ("reachable", 0, 0)
    assert (state["size"], state["most_overflow"], state["transactions"]) == (5, 10, "0")
    assert mounted.engine.dialect.loaded_dbapi.__name__.startswith(state["driver"].split()[0])
    assert re.match(r"\d+\.\d+", state["version"])
    assert any(name.endswith("timeout") for name, _ in state["options"])


def test_the_page_shows_no_password(visitor: Visitor, mounted: Mounted) -> None:
    password = mounted.engine.url.password
    visitor.run("commit")

    assert mounted.name in visitor.get("/").text
    assert not {"password", "passwd", "user"} & {name for name, _ in visitor.state()["options"]}
    assert password is None or f":{password}@" not in visitor.get("/").text


def test_a_form_leads_to_its_timeline(visitor: Visitor, testbed_backend: Backend) -> None:
    answer = visitor.post("/scenarios", scenario="commit", to=testbed_backend.name)
    page = visitor.get(answer.location).text

    assert (answer.status_code, answer.location) == (303, "/timelines/1")
    assert ALL["commit"].promise in page
    assert "The session ended as promised." in page
    assert '<svg class="timeline"' in page


def test_the_script_gets_the_same_result_as_json(visitor: Visitor) -> None:
    answer = visitor.post("/scenarios", {"Accept": "application/json"}, scenario="commit").get_json()

    assert answer["message"].startswith("Commit: kept on ")
    assert "The session ended as promised." in answer["result"]
    assert '"/timelines/1"' in answer["history"]


def test_forms_of_the_ledger_show_its_responses(visitor: Visitor) -> None:
    account = {"owner": "Ada", "currency": "EUR", "balance": "100.00"}
    for _ in range(2):
        visitor.post("/ledger", operation="open-account", **account)
    ids = [item["id"] for item in _listed(visitor, "list-accounts")]
    transfer = {"amount": "5.00", "note": "", "idempotency_key": "first"}
    order = {"from_account_id": str(ids[0]), "to_account_id": str(ids[1]), **transfer}
    visitor.post("/ledger", operation="transfer", **order)

    assert [item["balance"] for item in _listed(visitor, "list-accounts")] == ["95.00", "105.00"]
    assert [item["amount"] for item in _listed(visitor, "list-transfers")] == ["5.00"]


def test_invalid_input_is_refused_by_the_ledger(visitor: Visitor) -> None:
    page = visitor.get(visitor.post("/ledger", operation="transfer", from_account_id="one").location).text

    assert "422 UNPROCESSABLE ENTITY" in page
    assert "Not an integer." in page


def test_the_last_fifty_actions_are_kept(visitor: Visitor) -> None:
    for _ in range(KEPT + 1):
        visitor.post("/ledger", operation="list-accounts")

    assert visitor.get("/timelines/1").status_code == 404
    assert visitor.get("/timelines/2").status_code == 200
    assert len(re.findall('name="n"', visitor.get("/").text)) == KEPT


def test_two_actions_are_compared_on_one_axis(visitor: Visitor) -> None:
    for name in ("commit", "abort-404"):
        visitor.run(name)
    page = visitor.get("/timelines/compare?n=1&n=2").text

    widths = re.findall(r'<svg class="timeline"[^>]* width="(\d+)"', page)
    assert len(widths) == 2
    assert len(set(widths)) == 1
    assert visitor.get("/timelines/compare?n=1").status_code == 400
    assert visitor.get("/timelines/compare?n=1&n=9").status_code == 404


def test_the_page_shows_a_leak_until_it_is_let_go(visitor: Visitor, testbed_backend: Backend) -> None:
    visitor.run("leak")
    leaked = visitor.state(), visitor.get("/timelines/1").text
    visitor.post("/leaks", to=testbed_backend.name)

    assert (leaked[0]["leaked"], leaked[0]["sessions"]) == ("1 session left open on purpose", 1)
    assert "left open</span>" in leaked[1]
    assert (visitor.state()["leaked"], visitor.state()["sessions"]) == ("no leak", 0)
    assert "let go</span>" in visitor.get("/timelines/1").text


def test_a_scenario_that_is_not_applicable_says_why(visitor: Visitor, testbed_backend: Backend) -> None:
    lacking = f"n/a: {testbed_backend.name} lacks server" in visitor.get("/").text

    assert lacking == ("server" not in testbed_backend.capabilities)
    assert (f"Not applicable: {testbed_backend.name} lacks server." in visitor.run("deadlock")) == lacking


def test_a_check_is_shown_with_its_claim_and_its_command(visitor: Visitor) -> None:
    page = unescape(visitor.get("/checks/lifecycle.request-ends").text)

    assert CHECKS["lifecycle.request-ends"].claim in page
    assert "https://github.com/pallets-eco/flask-sqlalchemy/issues/339" in page
    assert "--testbed-check lifecycle.request-ends" in page
    assert visitor.get("/checks/lifecycle.unheard-of").status_code == 404


def _listed(visitor: Visitor, operation: str) -> list[dict[str, str]]:
    page = unescape(visitor.get(visitor.post("/ledger", operation=operation).location).text)
    answer = re.search(r"<pre[^>]*>(.*?)</pre>", page, re.DOTALL)
    assert answer
    items: list[dict[str, str]] = json.loads(answer[1])["items"]
    return items
