"""An engine or a session that is not the app's own is named with the line of the app that made it."""

import pytest

from flask_sqlalchemy_testbed.backends.base import Backend
from flask_sqlalchemy_testbed.checks.causes import BESIDE, CAUSES, KEPT, LEFT_BESIDE, MISPLACED, OTHER_ENGINE
from flask_sqlalchemy_testbed.report.causes import groups
from tests.harness.projects import Project
from tests.harness.shops import BINDING, FLASK_SQLALCHEMY, WITHOUT_REMOVE
from tests.harness.test_causes import BATTERY, LEAK, failed, ids, with_rows

SHOP = f"""{BINDING}
import audit


def create_app(config=None):
    app = made(config["DATABASE_URI"])
    audit.init_app(app, config["DATABASE_URI"])
    return app
"""
AUDIT = """
from flask import current_app
from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.orm import Session, sessionmaker

engines, kept, AuditSession = {}, [], sessionmaker()


def init_app(app, uri):
    app.extensions["audit"] = MAKE

    @app.after_request
    def count(response):
        BODY
        return response
"""
MODULE, FACTORY = "engines.setdefault(uri, create_engine(uri))", "create_engine(uri, poolclass=NullPool)"
USE = "with ENGINE.begin() as connection: connection.execute(text('SELECT 1'))"
OTHER, OF_APP = 'app.extensions["audit"]', "shop.db_session.get_bind()"


def audit(make: str, body: str) -> str:
    return AUDIT.replace("MAKE", make).replace("BODY", body)


def run(project: Project, check: str, *options: str) -> str:
    """Return the report in one line."""
    outcome = project.run(*BATTERY, "--testbed-check", check, *options)
    return " ".join(outcome.text.partition("battery: shop")[2].split())


def line_of(source: str, words: str) -> int:
    return next(number for number, line in enumerate(source.splitlines(), 1) if words in line)


@pytest.mark.parametrize(
    ("make", "use"),
    [(FACTORY, OTHER), (MODULE, OF_APP)],
    ids=["an engine for each app, with NullPool", "the engine of the app"],
)
def test_the_line_that_makes_another_engine_is_the_cause_and_its_remedy_mends_it(
    project: Project, make: str, use: str
) -> None:
    project.write(SHOP, "shop.py")
    project.write(source := audit(MODULE, USE.replace("ENGINE", OTHER)), "audit.py")

    text = run(project, check := "isolation.nothing-for-the-collector")
    project.write("import shop\n" + audit(make, USE.replace("ENGINE", use)), "audit.py")
    mended = run(project, check)

    at = f"audit.py:{line_of(source, MODULE)}"
    assert f"where: {at} " in text
    assert f"In place of the engine that is made in {at}, use that of the current app: db_session" in text
    assert "finalize(app" not in text
    assert "1 passed" in mended, mended


def test_a_request_that_fails_by_the_engine_of_an_earlier_app_names_the_line_that_made_it(
    project: Project,
) -> None:
    make, use = "globals().setdefault('engine', create_engine(uri))", USE.replace("ENGINE", OTHER)
    project.write(SHOP, "shop.py")
    project.write(source := audit(make, use), "audit.py")

    outcome = project.run(*BATTERY, "--testbed-check", "lifecycle.request-ends")

    at = f"audit.py:{line_of(source, 'create_engine(uri)')}"
    said = " ".join(outcome.text.split())
    assert f"The engine made in {at} is on the database of an app that was made before: make it" in said
    assert "Let this function accept each request" not in said


IF_NONE = """
from sqlalchemy import create_engine, text

engine = None


def init_app(app, uri):
    global engine
    if engine is None:
        engine = create_engine(uri)

    @app.after_request
    def count(response):
        with engine.begin() as connection:
            connection.execute(text("SELECT 1"))
        return response
"""


def test_a_request_that_uses_the_engine_of_an_earlier_app_names_the_line_that_made_it(
    project_here: Project, testbed_backend: Backend
) -> None:
    project_here.backends = [testbed_backend.name]
    project_here.write(SHOP, "shop.py")
    project_here.write(IF_NONE, "audit.py")

    # In a worker, the app that the engine was made for has a database as long as the run.
    text = run(project_here, check := "binding.two-apps", "-n", "1")
    project_here.write(audit(FACTORY, USE.replace("ENGINE", OTHER)), "audit.py")
    mended = run(project_here, check, "-n", "1")

    at = f"audit.py:{line_of(IF_NONE, 'create_engine(uri)')}"
    assert f"a request used the database of another app, with the engine made in {at}" in text, text
    assert f"Cause 1 of 1, data at risk: {CAUSES[OTHER_ENGINE].summary} where: {at} " in text
    assert "1 passed" in mended, mended


# The code that opens what stays open, and the same code with an end.
LEAKS = {
    "a session of a sessionmaker": (
        f"kept.append(s := AuditSession(bind={OTHER})); s.execute(text('SELECT 1'))",
        f"with AuditSession(bind={OTHER}) as s: s.execute(text('SELECT 1'))",
    ),
    "a session of the app's engine": (
        'kept.append(s := Session(app.extensions["engine"])); s.execute(text("SELECT 1"))',
        'with Session(app.extensions["engine"]) as s: s.execute(text("SELECT 1"))',
    ),
    "a connection": (
        f"kept.append(c := {OTHER}.connect()); c.execute(text('SELECT 1'))",
        f"with {OTHER}.connect() as c: c.execute(text('SELECT 1'))",
    ),
}


@pytest.mark.parametrize(("leak", "closed"), LEAKS.values(), ids=LEAKS)
def test_the_line_that_opens_what_is_not_the_app_s_session_is_the_cause(
    project: Project, leak: str, closed: str
) -> None:
    project.write(SHOP, "shop.py")
    project.write(source := audit(FACTORY, leak), "audit.py")

    text = run(project, check := "lifecycle.request-ends")
    project.write(audit(FACTORY, closed), "audit.py")
    mended = run(project, check)

    at = f"audit.py:{line_of(source, leak)}"
    assert f"where: {at} " in text, text
    assert f"Close the session or the connection that is opened in {at} where the app is done" in text
    assert "db_session.remove() does not close it." in text
    assert "have the session removed" not in text
    assert "1 passed" in mended, mended


def test_the_session_of_a_library_is_told_from_another(project: Project) -> None:
    source = FLASK_SQLALCHEMY.replace(
        "    return app",
        """
    kept = []

    @app.after_request
    def count(response):
        db.session.connection()
        kept.append(db.session.registry.createfunc())
        kept[-1].connection()
        return response

    return app""",
    )
    project.write(source, "shop.py")

    text = run(project, "lifecycle.request-ends")

    assert f"where: shop.py:{line_of(source, 'kept[-1].connection()')} " in text, text
    assert "db.session.remove() does not close it." in text


def test_the_app_s_session_is_its_own_wherever_it_is_begun(project: Project) -> None:
    hook = "\n    @app.before_request\n    def count():\n        db_session.connection()\n\n    return app"
    project.write(WITHOUT_REMOVE.replace("    return app", hook, 1), "shop.py")

    text = run(project, "lifecycle.request-ends")

    assert "Cause 1 of 1, data at risk: Sessions stay open after their app context." in text, text
    assert BESIDE not in text


def test_what_is_left_open_beside_the_app_s_session_has_the_same_consequences() -> None:
    beside = f"Failed: {LEAK}, {BESIDE} audit.py:25"
    shown, late = failed("lifecycle.request-ends", beside), failed("lifecycle.thread", f"teardown: {beside}")
    consequence = failed("transactions.fresh-reads", "assert 1 == 2")
    other = failed("lifecycle.exit", beside.replace("25", "31"))

    first, second = groups(
        with_rows(consequence, late, other, shown, session_end="s.remove()", session_at="s.py:1")
    )
    both = groups(with_rows(consequence, shown, failed("lifecycle.context-ends", f"Failed: {LEAK}")))

    assert ids([first, second]) == [[shown["id"], late["id"], consequence["id"]], [other["id"]]]
    assert (first.at, second.at) == ("audit.py:25", "audit.py:31")
    assert first.cause is second.cause is CAUSES[LEFT_BESIDE]
    assert "opened in audit.py:31" in second.remedy
    assert ids(both) == [["lifecycle.context-ends", consequence["id"]], [shown["id"]]]


def test_checks_that_fail_by_an_engine_of_another_app_have_one_cause() -> None:
    places = [f"a request {MISPLACED} audit.py:9", f"still open after dispose(): ['31']; {KEPT} audit.py:9"]
    checks = ["binding.two-apps", "isolation.nothing-for-the-collector"]
    consequence = failed("isolation.worker-holds-on", "the app of the next test returned 500")

    (group,) = groups(with_rows(consequence, *map(failed, checks, places)))

    assert (group.cause, group.at) == (CAUSES[OTHER_ENGINE], "audit.py:9")
    assert ids([group]) == [[*checks, consequence["id"]]]


LITE = """
from flask import Flask
from flask_sqlalchemy_lite import SQLAlchemy

import audit

db = SQLAlchemy()


def create_app(config=None):
    app = Flask("shop")
    uri = config["SQLALCHEMY_ENGINES"]["default"]
    app.config["SQLALCHEMY_ENGINES"] = {"default": uri}
    db.init_app(app)
    audit.init_app(app, uri)
    return app
"""


def test_a_session_of_another_engine_is_told_from_one_that_no_registry_has(project: Project) -> None:
    leak, _ = LEAKS["a session of a sessionmaker"]
    project.write(LITE, "shop.py")
    project.write(source := audit(FACTORY, leak), "audit.py")

    text = run(project, "lifecycle.request-ends")

    assert f"where: audit.py:{line_of(source, leak)} " in text, text
