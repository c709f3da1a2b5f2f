"""The page of the public applications says what was measured, and a false alarm is never hidden."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.battery import Table

from . import page
from .application import APPLICATIONS, Application, find_applications
from .verdicts import Verdict, sort_failures

CHECK = "lifecycle.thread"
FAILED: Table = {CHECK: {"sqlite": "failed"}}
KNOWN = {application.name: application for application in find_applications()}
MEASURED: list[dict[str, Any]] = json.loads(page.MEASURED.read_text(encoding="utf-8"))


def result(verdict: Verdict | None = None) -> dict[str, Any]:
    failure = {"check": CHECK, "backend": "sqlite", "verdict": verdict, "evidence": "it leaks"}
    failure |= {"claim": "A thread leaves nothing behind.", "default_of": ""}
    return {
        "name": "shop",
        "backend": "sqlite",
        "commit": "0123456789ab",
        "versions": {"Python": "3.11.7", "shop": "1.0"},
        "server": "3.40.1",
        "checks": 70,
        "failures": [failure] if verdict else [],
    }


def described(obstacle: str = "") -> dict[str, Application]:
    shop = Application(
        folder=Path("shop"),
        title="Shop",
        setup="a shop",
        requirements=("shop==1.0",),
        documented="SQLite",
        backends=("sqlite",),
        obstacle=obstacle,
    )
    return {"shop": shop}


@pytest.mark.parametrize(
    ("message", "of_binding", "verdict"),
    [
        ("it leaks", {}, Verdict.OWN),
        ("it leaks", FAILED, Verdict.BINDING),
        ("holds", FAILED, Verdict.BINDING),
        ("holds", {}, Verdict.FALSE_ALARM),
        ("raised NameError: x", {}, Verdict.FALSE_ALARM),
        ("", {}, Verdict.FALSE_ALARM),
    ],
)
def test_a_failure_is_true_if_it_is_reproduced_or_is_of_the_binding(
    message: str, of_binding: Table, verdict: Verdict
) -> None:
    reproduced = {CHECK: {"sqlite": message}} if message else {}

    assert [found["verdict"] for found in sort_failures(FAILED, reproduced, of_binding)] == [verdict]


@pytest.mark.parametrize(
    ("request_ends", "verdict"), [("failed", Verdict.OWN), ("passed", Verdict.FALSE_ALARM)]
)
def test_a_session_left_open_is_true_only_with_its_cause(request_ends: str, verdict: Verdict) -> None:
    outcomes: Table = {
        CHECK: {"sqlite": "left open"},
        "lifecycle.request-ends": {"sqlite": request_ends},
    }

    found = {one["check"]: one["verdict"] for one in sort_failures(outcomes, {}, {})}

    assert found[CHECK] == verdict


def test_a_false_alarm_is_a_problem_and_stands_on_the_page() -> None:
    results = [result(Verdict.FALSE_ALARM)]

    assert page.problems(results, described()) == [f"shop on sqlite: {CHECK} is a false alarm: it leaks"]
    assert "| false alarms | 1 |" in page.render(results, described())
    assert f"- Shop on SQLite: `{CHECK}`" in page.render(results, described())


def test_a_failure_of_its_own_stands_on_the_page_with_its_evidence() -> None:
    text = page.render([result(Verdict.OWN)], described())

    assert "| failures of their own | 1 |" in text
    assert f"- `{CHECK}` (SQLite): *A thread leaves nothing behind.* `it leaks`" in text


def test_an_application_without_a_result_stands_on_the_page() -> None:
    text = page.render([], described())

    assert "| runs measured (an application on a database), of 1 described | 0 |" in text
    assert f"## Described, and not measured\n\n{page.UNMEASURED}\n- Shop on SQLite\n" in text


def test_earlier_results_of_other_applications_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "MEASURED", tmp_path / "measured.json")
    shop = described()["shop"]
    earlier, now = result(), {**result(), "name": "library"}
    page.MEASURED.write_text(json.dumps([earlier, {**now, "checks": 1}, {**now, "name": "gone"}]))

    assert page.with_earlier([now], {"library": shop, "shop": shop}) == [now, earlier]


@pytest.mark.parametrize(("obstacle", "shown"), [("", 70), ("It needs SQLAlchemy 1.4.", None)])
def test_a_run_that_did_not_start_replaces_a_result_only_if_its_description_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, obstacle: str, shown: int | None
) -> None:
    monkeypatch.setattr(page, "MEASURED", tmp_path / "measured.json")
    page.MEASURED.write_text(json.dumps([result()]))
    refused = {"name": "shop", "backend": "sqlite", "commit": "0", "obstacle": "too slow"}

    assert [one.get("checks") for one in page.with_earlier([refused], described(obstacle))] == [shown]


@pytest.mark.parametrize(
    ("tried", "obstacle", "says"),
    [
        (True, "", []),
        (False, "It needs SQLAlchemy 1.4.", []),
        (True, "It needs SQLAlchemy 1.4.", ["was tried, but its description says: It needs SQLAlchemy 1.4."]),
        (False, "", ["could not be tried:\nno such package"]),
    ],
)
def test_a_description_that_is_not_true_is_a_problem(tried: bool, obstacle: str, says: list[str]) -> None:  # noqa: FBT001 - a case of the table
    refused = {"name": "shop", "backend": "sqlite", "commit": "0", "obstacle": "no such package"}

    found = page.problems([result() if tried else refused], described(obstacle))

    assert found == [f"shop on sqlite: {line}" for line in says]


def test_the_page_shows_what_was_measured() -> None:
    assert page.PAGE.read_text(encoding="utf-8") == page.render(MEASURED, KNOWN)


def test_no_false_alarm_was_measured() -> None:
    assert page.problems(MEASURED, KNOWN) == []


def test_the_recipe_holds_no_code_of_an_application() -> None:
    """Each has settings, and a few lines that call a factory."""
    for name, application in KNOWN.items():
        code = [path for path in (APPLICATIONS / name).rglob("*") if path.suffix not in {".toml", ".pyc", ""}]
        assert [path.name for path in code] == ([] if application.obstacle else ["peer.py"]), name
        assert all(len(path.read_text(encoding="utf-8").splitlines()) < 45 for path in code), name
