"""The words of a report name the cause of a failure, and a common one once."""

import json
from pathlib import Path

from flask_sqlalchemy_testbed.report.summary import LEAK_REMEDY, common_cause, remedy_of
from tests.harness.projects import Project
from tests.harness.reports import report, row

LEAK = "left open: 1 connection, 1 session"
INTERRUPTED = """
    from flask import Flask
    from sqlalchemy import create_engine, text
    from sqlalchemy.orm import scoped_session, sessionmaker

    maker = sessionmaker()
    session = scoped_session(maker)


    def create_app(config):
        app = Flask("shop")
        maker.configure(bind=create_engine(config["DATABASE_URI"]))

        @app.before_request
        def stop():
            session.execute(text("SELECT 4711"))
            raise KeyboardInterrupt

        return app
"""


def test_a_check_that_only_left_something_open_gets_the_remedy_of_a_leak() -> None:
    failed = {"sqlite": "failed", "mysql": "failed"}

    own = row("faults.x", "A claim.", failed, {"sqlite": f"teardown: {LEAK}", "mysql": "assert 1 == 2"})
    leak = row("faults.x", "A claim.", failed, dict.fromkeys(failed, f"teardown: {LEAK}"))
    assert remedy_of(own) == "Mend it."
    assert remedy_of(leak) == LEAK_REMEDY


def test_one_line_names_the_check_to_begin_with_when_several_found_something_open() -> None:
    ids = ("faults.a", "isolation.b", "lifecycle.request-ends", "portability.c")
    reasons = (f"teardown: {LEAK}", LEAK, f"Failed: {LEAK}", "database is locked")
    found = report()
    found["checks"] = [
        row(check, "A claim.", {"sqlite": "failed"}, {"sqlite": reason})
        for check, reason in zip(ids, reasons, strict=True)
    ]

    assert common_cause(found).startswith(
        "3 of 4 failed checks found something left open. Begin with lifecycle.request-ends:"
    )
    found["checks"] = found["checks"][:2]
    assert common_cause(found) == ""


def test_a_check_that_ctrl_c_interrupts_has_its_timeline(project: Project) -> None:
    project.write(INTERRUPTED, "shop.py")
    project.run(
        *("--pyargs", "flask_sqlalchemy_testbed.battery", "--testbed-app", "shop:create_app"),
        *("--testbed-check", "lifecycle.request-ends", "--testbed-report", "report"),
    )

    evidence = json.loads(Path(project.path, "report", "evidence.json").read_text(encoding="utf-8"))
    (attempt,) = evidence["evidence"]["lifecycle.request-ends"]["sqlite"]
    assert attempt["outcome"] == "not run"
    assert "SELECT 4711" in [event.get("text") for event in attempt["timeline"]]
