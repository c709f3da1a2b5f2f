"""All outputs count alike, the count of the checks is the last line, and each test counts once."""

import json
import os
import re
import signal
from pathlib import Path

import pytest

from flask_sqlalchemy_testbed.plugin import baseline
from flask_sqlalchemy_testbed.report import html, markdown
from tests import prepared
from tests.harness.projects import Outcome, Project, eventually
from tests.harness.reports import report, row
from tests.harness.shops import WITHOUT_REMOVE

pytestmark = pytest.mark.bad_day

BATTERY = ("--pyargs", "flask_sqlalchemy_testbed.battery", "--testbed-app", "shop")
LEAKS = "lifecycle.nested-contexts"
"""Its claim holds for an app that never removes its session; the session is left open after it."""
CHECKS = ("lifecycle.request-ends", LEAKS, "lifecycle.unwrapped-stream")
COUNT = "3 checks on 1 backend: 1 passed, 2 failed"


@pytest.fixture
def shop(project: Project) -> Project:
    """Return a project whose app never removes its session."""
    project.write(WITHOUT_REMOVE, "shop.py")
    return project


def pytest_runs(shop: Project, *options: str) -> Outcome:
    chosen = [word for check in CHECKS for word in ("--testbed-check", check)]
    return shop.run(*BATTERY, "--testbed-backend", "sqlite", *chosen, *options, CI="")


def command_runs(shop: Project, *options: str) -> Outcome:
    chosen = [word for check in CHECKS for word in ("--check", check)]
    words = ["flask_sqlalchemy_testbed", "shop", "--backend", "sqlite", *chosen, *options]
    ran = prepared.run(words, cwd=shop.path, env=os.environ, timeout=60)
    return Outcome(ran.returncode, ran.stdout + ran.stderr)


def test_each_outcome_has_its_own_count_in_the_summary() -> None:
    outcomes = ("passed", "failed", "known failure", "not run", "not applicable")
    found = report()
    found["checks"] = [
        row(f"faults.{number}", "", {"sqlite": one}, {}) for number, one in enumerate(outcomes)
    ]
    found["checks"] += [row("binding.known", "", {"sqlite": "known failure", "mysql": "passed"}, {})]
    found["checks"] += [row("lifecycle.other", "", {"sqlite": "not applicable"}, {})]
    text = markdown.render(found)

    assert (
        "<b>faults</b>: 5 checks: 1 passed, 1 failed, 1 known failure, 1 not run, 1 not applicable<" in text
    )
    assert "<b>binding</b>: 1 check: 1 passed, 1 known failure<" in text
    assert "<b>lifecycle</b>: 1 check: 1 not applicable<" in text


@pytest.mark.parametrize(
    ("outcomes", "verdict"),
    [
        (("passed", "not applicable"), "no check failed"),
        (("passed", "known failure"), "no new failure, 1 known failure"),
        (("failed", "known failure", "known failure"), "1 of 3 checks failed, 2 known failures"),
        (("passed", "not run"), "no check failed, 1 not run"),
        (("not run", "known failure"), "no new failure, 1 known failure, 1 not run"),
    ],
)
def test_the_title_counts_checks_that_did_not_pass(outcomes: tuple[str, ...], verdict: str) -> None:
    found = report()
    found["checks"] = [
        row(f"faults.{number}", "", {"sqlite": one}, {}) for number, one in enumerate(outcomes)
    ]

    assert markdown.render(found).startswith(f"## shop:create_app: {verdict}\n")
    assert f"<h1>shop:create_app: {verdict}</h1>" in html.render(found, power=[])


def test_a_page_without_evidence_names_each_outcome() -> None:
    found = report()
    found["checks"] = [row("faults.one", "", {"sqlite": "known failure"}, {})]
    found["evidence"] = {}

    assert "<p>Known failure. This report has no evidence" in html.render(found, power=[])


def test_all_outputs_agree(shop: Project) -> None:
    known = {"known": {"lifecycle.request-ends": ["sqlite"]}}
    (shop.path / "known.json").write_text(json.dumps(known))
    outcome = pytest_runs(
        shop, *("--testbed-baseline", "known.json", "--testbed-report", "there", "--testbed-matrix", "m.json")
    )
    count = "3 checks on 1 backend: 1 passed, 1 failed, 1 known failure"
    words = {"sqlite": ["passed", "failed", "known failure"]}

    assert outcome.lines(count) == [count]
    assert count in (shop.path / "there" / "summary.md").read_text()
    assert f"{count}." in (shop.path / "there" / "index.html").read_text()
    for name in ("there/matrix.json", "m.json"):
        rows = json.loads((shop.path / name).read_text())["checks"]
        assert sorted(one["results"]["sqlite"] for one in rows) == sorted(words["sqlite"])


def test_the_count_of_checks_is_the_last_line_of_a_command(shop: Project) -> None:
    outcome = command_runs(shop, "--report", "there")
    last = outcome.text.splitlines()[-1]
    (path,) = outcome.lines("report: ")

    assert re.fullmatch(rf"=+ {COUNT} in [\d.]+s =+", last)
    assert path == f"report: {shop.path / 'there' / 'index.html'}"
    assert outcome.text.count("3 checks on") == 1


def test_paths_of_checks_are_short(shop: Project) -> None:
    outcome = command_runs(shop)

    assert outcome.lines("test_lifecycle.py ")


def test_the_last_line_of_an_interrupted_command_counts_checks_too(shop: Project) -> None:
    outcome = command_runs(shop, "--", "--maxfail=1")

    assert "1 failed, 2 not run in" in outcome.text.splitlines()[-1]


def test_the_first_run_with_a_baseline_prints_the_causes_of_a_run_without_one(
    shop: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI", raising=False)  # Where it is set, no baseline is written.

    def part(text: str) -> str:
        start, end = text.index("= battery: shop"), text.rindex("report: ")
        return text[start:end]

    without = command_runs(shop, "--report", "there")
    first = command_runs(shop, "--report", "there", "--baseline", "known.json")
    page = (shop.path / "there" / "index.html").read_text()

    assert part(first.text) == part(without.text)
    assert "Cause 1 of" in part(first.text)
    assert "Sessions stay open after their app context." in page
    assert first.text.index("known.json written: 2 entries") > first.text.index("Cause 1 of")
    assert (without.code, first.code) == (1, 0)
    assert COUNT in first.text.splitlines()[-1]


def test_a_baseline_of_several_backends_counts_its_entries_and_its_failures(tmp_path: Path) -> None:
    failed = {("binding.fork", "sqlite"), ("binding.fork", "mysql"), ("binding.listeners", "sqlite")}

    baseline.write(tmp_path / "known.json", failed)

    assert baseline.count(failed) == (
        "2 entries, one for each failed check (3 known failures, one for each check and backend)"
    )
    assert len(json.loads((tmp_path / "known.json").read_text())["known"]) == 2


def test_an_interrupted_first_run_with_a_baseline_knows_no_failure(
    shop: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.write(
        """
        import pytest

        def pytest_runtest_setup(item):
            if "nested" in item.name:
                raise KeyboardInterrupt
        """,
        "interrupts.py",
    )
    monkeypatch.delenv("CI", raising=False)  # Where it is set, no baseline is written.
    outcome = command_runs(shop, "--baseline", "known.json", "--", "-p", "interrupts")

    assert "known.json was not written: the run was interrupted." in outcome.text
    assert "1 passed, 1 failed, 1 not run in" in outcome.text.splitlines()[-1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize(
    ("where", "verdicts"),
    [("/testbed/preflight", "2 not run"), ("/testbed/both", "1 passed, 1 not run")],
    ids=["before the checks", "in a check"],
)
def test_a_command_that_is_told_to_end_shows_its_verdicts_and_writes_the_report(
    shop: Project, number: signal.Signals, where: str, verdicts: str
) -> None:
    waits = f"""
    @app.before_request
    def wait():
        if __import__("flask").request.path != {where!r}:
            return
        __import__("pathlib").Path("ready").touch()
        __import__("time").sleep(60)
    return app"""
    shop.write(WITHOUT_REMOVE.replace("    return app", waits), "shop.py")
    checks = ("--check", "binding.first-use", "--check", "lifecycle.request-ends")
    words = ["flask_sqlalchemy_testbed", "shop", "--backend", "sqlite", *checks, "--report", "there"]

    def end(process: int) -> None:
        eventually((shop.path / "ready").exists)
        os.kill(process, number)

    ran = prepared.run(words, cwd=shop.path, env=os.environ, timeout=30, meanwhile=end)

    assert ran.returncode == pytest.ExitCode.INTERRUPTED
    assert f"2 checks on 1 backend: {verdicts} in" in ran.stdout.splitlines()[-1]
    assert (shop.path / "there" / "index.html").exists()


def test_warnings_stay_in_the_last_line_of_a_command(shop: Project) -> None:
    shop.write(f"{WITHOUT_REMOVE}\nimport warnings\nwarnings.warn('old')\n", "shop.py")
    shop.write("import warnings\ndef pytest_runtest_setup(): warnings.warn('old')\n", "warns.py")
    outcome = command_runs(shop, "--", "-p", "warns")

    assert re.search(rf"= {COUNT}, \d+ warnings? in", outcome.text.splitlines()[-1])


@pytest.mark.parametrize("parallel", [(), ("-n", "2")], ids=["one process", "two workers"])
def test_a_check_that_leaves_something_open_counts_once(shop: Project, parallel: tuple[str, ...]) -> None:
    known = {"known": {check: ["sqlite"] for check in CHECKS[:2]}}
    (shop.path / "known.json").write_text(json.dumps(known))
    new = pytest_runs(shop, *parallel)
    old = pytest_runs(shop, "--testbed-baseline", "known.json", *parallel)

    assert re.search(r"= 2 failed, 1 passed(, \d+ deselected)? in", new.text)
    assert re.search(r"= 1 passed,( \d+ deselected,)? 2 xfailed in", old.text)


def test_notes_on_the_baseline_follow_the_matrix_and_the_count(shop: Project) -> None:
    first = pytest_runs(shop, "--testbed-baseline", "known.json")
    (shop.path / "known.json").write_text(json.dumps({"known": {"lifecycle.unwrapped-stream": ["sqlite"]}}))
    second = command_runs(shop, "--baseline", "known.json")
    *_, last = second.text.splitlines()
    (note,) = second.lines("lifecycle.unwrapped-stream on")

    parts = ("= battery: shop", "3 checks on 1 backend:", "known.json written")
    assert sorted(parts, key=first.text.index) == list(parts)
    assert note == "lifecycle.unwrapped-stream on sqlite is no longer needed in known.json: it passes."
    assert second.text.index("no longer needed") > second.text.index("= battery: shop")
    assert COUNT in last


def test_a_thread_is_shown_only_where_the_claim_of_the_check_failed(shop: Project) -> None:
    outcome = pytest_runs(shop, "--testbed-report", "there")
    summary = (shop.path / "there" / "summary.md").read_text()
    page = (shop.path / "there" / "index.html").read_text()

    assert outcome.text.count("reported:") == 1
    assert summary.count("**Reported:**") == 1
    assert page.count("<dt>Reported</dt>") == 1


@pytest.mark.parametrize("reason", ["setup: RuntimeError: no", "teardown: RuntimeError: no"])
def test_a_failure_outside_the_check_itself_shows_no_thread(reason: str) -> None:
    found = report()
    found["checks"] = [row("faults.one", "A claim.", {"sqlite": "failed"}, {"sqlite": reason})]

    assert "**Reported:**" not in markdown.render(found)
    assert "<dt>Reported</dt>" not in html.render(found, power=[])
