"""A check that is interrupted keeps its evidence."""

import json
from pathlib import Path

from flask_sqlalchemy_testbed.report import html, markdown
from flask_sqlalchemy_testbed.report.summary import notes
from tests.harness.projects import Project
from tests.harness.reports import report

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


def test_the_note_of_a_check_that_passed_is_in_each_report() -> None:
    found = report()
    found["checks"][0]["reasons"] = {"postgresql": "One step fails."}

    assert notes(found) == ["binding.holds (postgresql): One step fails."]
    assert "\nNote, no failure: binding.holds (postgresql): One step fails.\n" in markdown.render(found)
    assert "<small>One step fails.</small>" in html.render(found, power=[])


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
