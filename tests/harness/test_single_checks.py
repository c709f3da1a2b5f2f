"""Apps that a process can make once: each check runs in a process of its own, on the servers of the run."""

import json

from tests.harness.projects import Project, remove_kept
from tests.harness.shops import ONE_APP
from tests.harness.test_own_app import CONTEXT_ENDS, REQUEST_ENDS, SHOP, check

# As a metric that is registered already.
ONCE = """
import os, sys
assert not getattr(sys, "shop_is_there", False), "imported twice"
sys.shop_is_there = True
with open("noted", "a") as file:
    print(os.getpid(), os.environ.get("DATABASE_URL"), file=file)
"""
ONE_SHOT = ONCE + ONE_APP.replace('os.environ["DATABASE_URL"]', 'os.environ.get("DATABASE_URL", "sqlite://")')
LEAKS = ONE_SHOT.replace("db_session.remove()", "None")
REASON = "the app is made when its module is imported; there is no factory of several apps"


def test_each_check_runs_in_a_process_of_its_own(project_here: Project) -> None:
    project_here.write(ONE_SHOT, "shop.py")
    matrix = ("--testbed-matrix", "matrix.json")

    outcome = check(project_here, REQUEST_ENDS, CONTEXT_ENDS, "binding.two-apps", options=(*SHOP, *matrix))

    assert outcome.code == 0, outcome.text
    backends = len(project_here.backends)
    assert f"{2 * backends} passed" in outcome.text
    assert outcome.lines("apps: ") == [
        f"apps: one per process, so each check runs in a process of its own ({REASON})"
    ]
    assert len(outcome.lines(f"not applicable: {backends} test")) == 1
    results = json.loads((project_here.path / "matrix.json").read_text())["checks"]
    assert {row["id"]: set(row["results"].values()) for row in results} == {
        "binding.two-apps": {"not applicable"},
        REQUEST_ENDS: {"passed"},
        CONTEXT_ENDS: {"passed"},
    }
    on_databases = [line for line in (project_here.path / "noted").read_text().splitlines() if "://" in line]
    # Also the process that finds out that the app can be made.
    assert len({line.split()[0] for line in on_databases}) >= 2 * backends + 1
    assert len({line.split()[1] for line in on_databases}) >= 2 * backends + 1


def test_a_failure_of_a_parallel_run_has_its_evidence(project_here: Project) -> None:
    project_here.write(LEAKS, "shop.py")

    outcome = check(project_here, REQUEST_ENDS, options=(*SHOP, "--testbed-report", "report", "-n", "2"))

    assert outcome.code == 1, outcome.text
    assert "have the session removed after all callbacks" in " ".join(outcome.text.split())
    evidence = json.loads((project_here.path / "report" / "evidence.json").read_text())["evidence"]
    for backend in project_here.backends:
        (attempt,) = evidence[REQUEST_ENDS][backend]
        assert attempt["outcome"] == "failed"
        assert attempt["timeline"]
        assert "def test_request_ends" in attempt["source"]


def test_a_check_whose_process_ends_has_failed(project: Project) -> None:
    ends = "import sqlalchemy.event\nsqlalchemy.event.listen(Session, 'before_flush', lambda *_: os._exit(7))"
    project.write(f"{ONE_SHOT}\n{ends}", "shop.py")

    outcome = check(project, REQUEST_ENDS, CONTEXT_ENDS)

    assert outcome.code == 1, outcome.text
    assert "The process of this check ended with the status 7." in outcome.text


def test_warnings_of_the_other_process_are_shown(project: Project) -> None:
    warns = "app.before_request(lambda: __import__('warnings').warn('of the shop', DeprecationWarning))"
    project.write(f"{ONE_SHOT}\n{warns}", "shop.py")

    outcome = check(project, REQUEST_ENDS, options=(*SHOP, "-W", "default"))

    assert outcome.code == 0, outcome.text
    assert "DeprecationWarning: of the shop" in outcome.text


def test_a_refused_connection_ends_the_run(project: Project) -> None:
    connects = "app.before_request(lambda: create_engine('sqlite:///real.db').connect().close())"
    project.write(f"{ONE_SHOT}\n{connects}", "shop.py")

    outcome = check(project, REQUEST_ENDS, CONTEXT_ENDS)

    assert outcome.code == 4, outcome.text
    assert outcome.text.count("The app tried to connect to the SQLite file") == 1
    assert "real.db in lifecycle." in outcome.text
    assert not (project.path / "real.db").exists()


def test_known_failures_are_known_in_each_process(project: Project) -> None:
    project.write(LEAKS, "shop.py")
    baseline = (*SHOP, "--testbed-baseline", "known.json")

    codes = [check(project, REQUEST_ENDS, options=baseline, CI="").code for _ in range(2)]

    assert codes == [0, 0]
    assert list(json.loads((project.path / "known.json").read_text())["known"]) == [REQUEST_ENDS]


def test_the_server_of_a_failure_is_kept(project: Project) -> None:
    project.write(LEAKS, "shop.py")

    outcome = check(project, REQUEST_ENDS, CONTEXT_ENDS, options=(*SHOP, "--testbed-keep-failed"))
    remove_kept(outcome.text)

    assert outcome.code == 1, outcome.text
    assert outcome.text.count("database was kept") == 1
