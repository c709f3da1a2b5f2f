"""A function of the app that Flask calls is named, with its line, if it is the one that raised."""

import re
from collections.abc import Callable
from functools import partial
from inspect import currentframe
from typing import Any, NoReturn

import pytest
from flask import Flask, Response
from sqlalchemy import create_engine, text
from sqlalchemy.exc import IntegrityError, PendingRollbackError
from sqlalchemy.orm import Session

from flask_sqlalchemy_testbed.checks.causes import CAUSES, ERROR_HANDLER
from flask_sqlalchemy_testbed.subject.raised import by_hook, line_before_context_ends
from tests.harness.projects import Project
from tests.harness.shops import BINDING, WITHOUT_REMOVE
from tests.harness.test_causes import BATTERY

HOOKS = """
from flask import Response, g, render_template, request


def create_app(config=None):
    app = made(config["DATABASE_URI"])

    @app.REGISTER
    def label(value=None):
        BODY

    return app
"""
# The decorator, the function's body, a check that its error fails, and the first words of the cause.
RAISING = {
    "before_request": (
        "before_request",
        'return first(request.path) if request.path.endswith("names") else None',
        "isolation.objects-of-fixtures",
        "label(), which Flask calls before the view, raised KeyError: 0.",
    ),
    "after_request": (
        "after_request",
        "return Response(value.json[0]) if value.is_json else value",
        "isolation.worker-holds-on",
        "label(), which Flask calls after the view, raised IndexError: list index out of range.",
    ),
    "teardown_request": (
        "teardown_request",
        "g.user.name",
        "lifecycle.request-ends",
        "label(), which Flask calls at the end of the request, raised AttributeError: ",
    ),
    "teardown_appcontext": (
        "teardown_appcontext",
        "1 / 0",
        "lifecycle.context-ends",
        "label(), which Flask calls at the end of the app context, raised ZeroDivisionError: ",
    ),
    "errorhandler": (
        "errorhandler(Exception)",
        'return render_template("error.html")',
        "lifecycle.failed-request-ends",
        "label(), which Flask calls for an error, raised jinja2.exceptions.TemplateNotFound: error.html.",
    ),
    "errorhandler(500)": (
        "errorhandler(500)",
        "return g.user.name",
        "binding.starts-without-its-database",
        "label(), which Flask calls for an error, raised AttributeError: ",
    ),
}
FIRST = """
def first(_):
    return {}[0]
"""


@pytest.mark.parametrize(("register", "body", "check", "cause"), RAISING.values(), ids=RAISING)
def test_the_function_that_raised_is_the_cause(
    project: Project, register: str, body: str, check: str, cause: str
) -> None:
    source = BINDING + FIRST + HOOKS.replace("REGISTER", register).replace("BODY", body)
    project.write(source, "shop.py")
    raising = "    return {}[0]" if "first" in body else f"        {body}"

    outcome = project.run(*BATTERY, "--testbed-check", check, COLUMNS="200")

    assert f": {cause}" in outcome.text, outcome.text
    assert f"where:      shop.py:{source.splitlines().index(raising) + 1}\n" in outcome.text
    assert "remedy:     Mend this line of the app; then other failures may show." in outcome.text
    assert "Cause 1 of 1" in outcome.text


# The checks that fail if an error handler writes with the session, and the options of the app's engine.
RELYING = {
    "database-is-down": ("binding.starts-without-its-database", ""),
    "pool-is-empty": ("faults.pool-exhausted", ""),
    "large-pool-is-empty": ("faults.pool-exhausted", ", pool_size=30"),
    "commits": ("lifecycle.failed-request-ends", ""),
    "file-is-full": ("faults.file-full", ""),
}
RELIES = """
from sqlalchemy import text


def create_app(config=None):
    app = made(config["DATABASE_URI"]OPTIONS)

    @app.errorhandler(500)
    def internal(error):
        db_session.execute(text("SELECT 1"))
        db_session.commit()
        return "internal", 500

    return app
"""
EXPECTS = RELIES.replace(
    """        db_session.execute(text("SELECT 1"))
        db_session.commit()
""",
    """        db_session.rollback()
        try:
            db_session.execute(text("SELECT 1"))
            db_session.commit()
        except SQLAlchemyError:
            db_session.rollback()
""",
).replace("import text", "import text\nfrom sqlalchemy.exc import SQLAlchemyError")


@pytest.mark.parametrize(("check", "options"), RELYING.values(), ids=RELYING)
def test_an_error_handler_that_relies_on_the_session_is_the_cause(
    project: Project, check: str, options: str
) -> None:
    source = BINDING + RELIES.replace("OPTIONS", options)
    project.write(source, "shop.py")

    outcome = project.run(*BATTERY, "--testbed-check", check, COLUMNS="200")

    line = source.splitlines().index("    def internal(error):") + 1
    assert "Cause 1 of 1" in outcome.text, outcome.text
    assert f": {CAUSES[ERROR_HANDLER].summary}" in outcome.text, outcome.text
    assert f"by the error handler internal() in shop.py:{line}" in " ".join(outcome.text.split())
    assert f"where:      shop.py:{line}\n" in outcome.text
    assert "roll the session back before it is used" in outcome.text


def test_an_error_handler_that_expects_failures_passes(project: Project) -> None:
    project.write(BINDING + EXPECTS.replace("OPTIONS", ""), "shop.py")

    outcome = project.run(*BATTERY, *(f"--testbed-check={check}" for check, _ in RELYING.values()))

    assert "Cause 1" not in outcome.text, outcome.text
    assert "4 passed" in outcome.text, outcome.text


LOGS = RELIES.replace("SELECT 1", "INSERT INTO error_log (name) VALUES ('internal')").replace("OPTIONS", "")


@pytest.mark.bad_day
def test_an_error_handler_that_lacks_a_table_alone_is_told_so(project: Project) -> None:
    project.write(BINDING + LOGS, "shop.py")

    outcome = project.run(*BATTERY, "--testbed-check", "lifecycle.failed-request-ends", COLUMNS="200")

    assert re.search(
        r": internal\(\), which Flask calls for an error, raised .*error_log.*\.$", outcome.text, re.MULTILINE
    )
    assert (
        "remedy:     The battery did not create this table: name its metadata with --testbed-metadata"
        in outcome.text
    )
    assert CAUSES[ERROR_HANDLER].summary not in outcome.text


def test_an_error_handler_of_a_special_error_is_named_where_it_answers(project: Project) -> None:
    special = "errorhandler(OperationalError)\n    @app.errorhandler(ProgrammingError)"
    source = BINDING + EXPECTS.replace("OPTIONS", "").replace("errorhandler(500)", special)
    source = source.replace("import SQL", "import OperationalError, ProgrammingError, SQL")
    project.write(source, "shop.py")

    outcome = project.run(*BATTERY, "--testbed-check", "lifecycle.error-handler")

    line = source.splitlines().index("    def internal(error):") + 1
    (reason,) = set(outcome.lines("not applicable"))
    assert reason.endswith(
        "(the app answers errors of views itself, with 500 INTERNAL SERVER ERROR"
        f" by the error handler internal() in shop.py:{line})"
    )


NEVER_ROLLS_BACK = WITHOUT_REMOVE.replace(
    'return made(config["DATABASE_URI"])',
    """app = made(config["DATABASE_URI"])

    @app.before_request
    def count():
        db_session.connection()

    return app""",
)


def test_the_line_that_meets_a_session_without_a_rollback_is_not_blamed(project: Project) -> None:
    project.write(NEVER_ROLLS_BACK, "shop.py")

    outcome = project.run(*BATTERY, "--testbed-check", "lifecycle.failed-flush", COLUMNS="200")

    assert "a later request returned 500 INTERNAL SERVER ERROR" in outcome.text, outcome.text
    assert "count()" not in outcome.text.partition("battery: shop")[2]


COUNTS_VISITS = """
import sqlite3

from flask import request
from sqlalchemy import event, text


def create_app(config=None):
    app = made(config["DATABASE_URI"])
    engine = app.extensions["engine"]
    event.listen(engine, "connect", lambda connection, _: setattr(connection, "isolation_level", None))
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN DEFERRED"))

    @app.before_request
    def count():
        if request.path.endswith("hold"):
            db_session.execute(text("SELECT name FROM sqlite_schema"))
            with sqlite3.connect(engine.url.database) as another:
                another.execute("PRAGMA user_version = 1")
            db_session.execute(text("PRAGMA user_version = 2"))

    return app
"""
ANSWERS_ERRORS = COUNTS_VISITS.replace(
    "    return app\n",
    "    app.register_error_handler(Exception, lambda error: (str(error), 500))\n    return app\n",
)


@pytest.mark.bad_day
@pytest.mark.parametrize("app", [COUNTS_VISITS, ANSWERS_ERRORS], ids=["raises", "answers"])
def test_a_function_that_finds_the_database_locked_is_the_cause(project: Project, app: str) -> None:
    project.write(BINDING + app, "shop.py")
    line = f"{BINDING}{app}".partition("user_version = 2")[0].count("\n") + 1

    outcome = project.run(*BATTERY, "--testbed-check", "faults.pool-exhausted", COLUMNS="200")

    text = " ".join(outcome.text.split())
    assert "Cause 1 of 1" in text, outcome.text
    assert (
        "500 INTERNAL SERVER ERROR: OperationalError: (sqlite3.OperationalError) database is locked, raised"
        f" in shop.py:{line} by count(), which Flask calls before the view"
    ) in text
    assert f"where:      shop.py:{line}\n" in outcome.text
    assert 'begin it with db_session.connection(execution_options={"sqlite_begin": "IMMEDIATE"})' in text


def test_an_error_that_a_function_meets_is_in_the_evidence(project: Project) -> None:
    source = NEVER_ROLLS_BACK
    project.write(source, "shop.py")
    line = source.partition("db_session.connection()")[0].count("\n") + 1

    outcome = project.run(*BATTERY, "--testbed-check", "lifecycle.failed-flush")

    text = " ".join(outcome.text.split())
    assert "a later request returned 500 INTERNAL SERVER ERROR: PendingRollbackError: " in text, outcome.text
    assert f", met in shop.py:{line}" in text


Hook = Callable[[Response], Response]


def raised_after(hook: Hook) -> str:
    """Return the clause on the error of an `after_request` function, which stands in this file."""
    app = Flask("shop")
    app.testing = True
    app.after_request(hook)
    app.add_url_rule("/", "view", lambda: "seen")
    try:
        app.test_client().get("/")
    except Exception as error:  # noqa: BLE001 - any error of the function
        return by_hook(error)
    return ""


def commit(response: Response) -> Response:
    with Session(create_engine("sqlite://")) as session:
        session.execute(text("CREATE TABLE book (id INTEGER PRIMARY KEY)"))
        session.execute(text("INSERT INTO book VALUES (1)"))
        session.execute(text(f"INSERT INTO {response.headers.get('table', 'book')} VALUES (1)"))  # noqa: S608
    return response


def look_elsewhere(_: Response) -> Response:
    with Session(create_engine("sqlite://")) as session:
        session.execute(text("SELECT id FROM book"))
    raise AssertionError


def hide(response: Response) -> Response:
    try:
        return wait(response)
    except PendingRollbackError as error:
        message = "The commit failed."
        raise RuntimeError(message) from error


def wait(_: Response) -> Response:
    raise PendingRollbackError


def test_an_error_of_the_function_s_own_statement_is_its_own() -> None:
    assert raised_after(commit).endswith("by commit(), which Flask calls after the view")


@pytest.mark.parametrize("hook", [look_elsewhere, hide, wait])
def test_an_error_that_other_code_may_have_caused_names_no_function(hook: Hook) -> None:
    assert raised_after(hook) == ""


def fail(*_: object) -> NoReturn:
    raise KeyError


def test_a_group_of_errors_has_the_function_of_its_first() -> None:
    app = Flask("shop")
    app.teardown_appcontext(fail)

    with pytest.raises(KeyError) as raised, app.app_context():
        pass

    group = BaseExceptionGroup("teardown", [raised.value])
    assert by_hook(group) == by_hook(raised.value)
    assert by_hook(group).endswith("by fail(), which Flask calls at the end of the app context")


# A remedy that names a session which the module does not import.
UNKNOWN_NAME = """
def create_app(config=None):
    app = made(config["DATABASE_URI"])

    def remove_at_the_end(*args, teardown=app.do_teardown_appcontext, **options):
        try:
            teardown(*args, **options)
        finally:
            session().close()

    app.do_teardown_appcontext = remove_at_the_end
    return app
"""


@pytest.mark.bad_day
def test_a_function_in_place_of_a_method_of_the_app_is_the_one_cause(project: Project) -> None:
    source = BINDING + UNKNOWN_NAME
    project.write(source, "shop.py")
    checks = (
        "lifecycle.cli-command",
        "lifecycle.handled-error",
        "isolation.objects-of-fixtures",
        "binding.fork",
    )

    outcome = project.run(*BATTERY, *(f"--testbed-check={check}" for check in checks), COLUMNS="200")

    line = source.splitlines().index("            session().close()") + 1
    called = "remove_at_the_end(), which Flask calls at the end of the app context"
    assert f"Cause 1 of 1, data at risk: {called}, raised NameError" in outcome.text, outcome.text
    assert f"where:      shop.py:{line}\n" in outcome.text
    assert all(f"{check} failed" in outcome.text or f" {check}\n" in outcome.text for check in checks)


def fail_at_the_end(*arguments: object, teardown: Callable[..., object]) -> None:
    try:
        teardown(*arguments)
    finally:
        fail()


@pytest.mark.bad_day
def test_a_function_in_place_of_flask_s_teardown_is_named() -> None:
    app = Flask("shop")
    app.do_teardown_appcontext = partial(  # type: ignore[method-assign]
        fail_at_the_end, teardown=app.do_teardown_appcontext
    )

    with pytest.raises(KeyError) as raised, app.app_context():
        # The end of the context does not come from this error.
        raise PendingRollbackError

    assert by_hook(raised.value).endswith(
        "by fail_at_the_end(), which Flask calls at the end of the app context"
    )


def respond(*arguments: object, wsgi_app: Callable[..., object], broken: bool = False) -> object:
    if broken:
        fail()
    return wsgi_app(*arguments)


@pytest.mark.bad_day
@pytest.mark.parametrize("broken", [True, False])
def test_middleware_is_named_only_for_its_own_error(*, broken: bool) -> None:
    app = Flask("shop")
    app.testing = True
    app.add_url_rule("/", "view", fail)
    app.wsgi_app = partial(  # type: ignore[method-assign,assignment]
        respond, wsgi_app=app.wsgi_app, broken=broken
    )

    with pytest.raises(KeyError) as raised:
        app.test_client().get("/")

    expected = "by respond(), which Flask calls for each request" if broken else ""
    assert by_hook(raised.value).endswith(expected)
    assert bool(by_hook(raised.value)) is broken


def test_the_error_of_a_view_names_no_function() -> None:
    app = Flask("shop")
    app.testing = True
    app.add_url_rule("/", "view", fail)
    app.register_error_handler(IntegrityError, str)

    with pytest.raises(KeyError) as raised:
        app.test_client().get("/")

    assert by_hook(raised.value) == ""


def again(error: Exception) -> NoReturn:
    raise error


def test_an_error_handler_that_raises_the_error_of_the_view_again_is_not_named() -> None:
    app = Flask("shop")
    app.testing = True
    app.add_url_rule("/", "view", lambda: wait(Response()))
    app.register_error_handler(PendingRollbackError, again)

    with pytest.raises(PendingRollbackError) as raised:
        app.test_client().get("/")

    assert by_hook(raised.value) == ""


def test_a_line_that_is_run_as_an_app_context_ends_is_not_one_of_the_request() -> None:
    app, found = Flask("shop"), list[str]()

    def note(given: Any = None) -> Any:
        found.append(line_before_context_ends(currentframe()))
        return given

    teardown = app.do_teardown_appcontext
    app.do_teardown_appcontext = lambda *given: note(teardown(*given))  # type: ignore[method-assign]
    app.after_request(note)
    app.teardown_appcontext(note)
    app.test_client().get("/")

    assert [place.partition(":")[0] for place in found] == ["tests/harness/test_hooks.py", "", ""]
