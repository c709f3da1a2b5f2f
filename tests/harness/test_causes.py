"""Failures are grouped by their causes, in the order in which a person should mend them."""

import json
import re
import textwrap
from pathlib import Path

import pytest

from flask_sqlalchemy_testbed.checks.causes import (
    CAUSES,
    FOREIGN_KEYS_OFF,
    PART_OF_GROUP,
    SCOPED_BY_THREAD,
    SESSIONS_STAY_OPEN,
    TEARDOWN_ORDER,
    TIME_ZONE,
)
from flask_sqlalchemy_testbed.checks.claims import CHECKS
from flask_sqlalchemy_testbed.checks.definition import GROUPS
from flask_sqlalchemy_testbed.checks.libraries import LIBRARIES
from flask_sqlalchemy_testbed.report.causes import Group, begin_with, groups
from flask_sqlalchemy_testbed.report.matrix import CheckRow, Report
from tests.harness.projects import Project
from tests.harness.reports import report, row
from tests.harness.shops import BINDING, FACTORY, MODELS, WITHOUT_REMOVE

ROOT = Path(__file__).parents[2]
EXPECTED = json.loads((ROOT / "tests" / "conformance" / "expected.json").read_text(encoding="utf-8"))
LEAK = "left open: 1 connection, 1 session"
BATTERY = ("--pyargs", "flask_sqlalchemy_testbed.battery", "--testbed-app", "shop:create_app")


def failed(check: str, reason: str = "assert 1 == 2", *backends: str) -> CheckRow:
    """Return the row of a check of the battery that failed."""
    one = CHECKS[check]
    data = {"severity": str(one.severity), "cause": one.cause, "default_of": one.default_of}
    on = backends or ("sqlite",)
    return row(check, one.claim, dict.fromkeys(on, "failed"), dict.fromkeys(on, reason), **data)


def with_rows(*rows: CheckRow, **subject: str) -> Report:
    return {**report(), "checks": list(rows), "subject": {"app": "shop:create_app", **subject}}


def ids(found: list[Group]) -> list[list[str]]:
    return [[one["id"] for one in group.rows] for group in found]


def failures_of(subject: str, outcome: str = "failed") -> set[str]:
    return {check for check, on in EXPECTED[subject].items() if outcome in on.values()}


def test_each_cause_and_each_group_of_checks_is_known() -> None:
    assert {check.cause for check in CHECKS.values()} - {""} <= CAUSES.keys()
    assert {cause.shown_by for cause in CAUSES.values()} - {""} <= CHECKS.keys()
    assert list(PART_OF_GROUP) == list(GROUPS)


def test_the_app_s_mistakes_come_before_defaults_and_the_most_severe_first() -> None:
    found = groups(
        with_rows(
            failed("portability.foreign-keys"),
            failed("portability.same-settings"),
            failed("faults.pool-exhausted"),
            failed("transactions.rolls-back"),
        )
    )

    assert ids(found) == [
        ["transactions.rolls-back"],
        ["faults.pool-exhausted"],
        ["portability.same-settings"],
        ["portability.foreign-keys"],
    ]
    assert [group.default for group in found] == ["", "", "", "This is a default of SQLite."]


def test_one_cause_is_one_entry_on_all_backends() -> None:
    found = groups(
        with_rows(
            failed("faults.restart", "broken pipe", "postgresql", "mysql"),
            failed("faults.idle-timeout", "gone away", "mysql"),
        )
    )

    assert ids(found) == [["faults.restart", "faults.idle-timeout"]]


def test_consequences_belong_to_the_cause_only_if_the_check_that_shows_it_failed_too() -> None:
    consequences = [failed("transactions.fresh-reads"), failed("portability.time-zone", f"teardown: {LEAK}")]
    shown = failed("lifecycle.request-ends", f"Failed: {LEAK}")

    assert ids(groups(with_rows(*consequences, shown))) == [
        ["lifecycle.request-ends", "transactions.fresh-reads", "portability.time-zone"]
    ]
    alone = groups(with_rows(*consequences))
    assert ids(alone) == [["transactions.fresh-reads"], ["portability.time-zone"]]
    assert alone[0].summary == ""
    assert alone[0].cases
    assert alone[1].cases == []
    assert alone[1].summary == "The claims hold, but the app left something open after the check."


def test_a_session_that_is_not_removed_explains_all_that_its_removal_mends() -> None:
    """The peers differ in one line, the removal; their outcomes are measured by `make conformance`."""
    mended = failures_of("pattern_2010") - failures_of("pattern_2010_removed")

    left_open = {"isolation.nothing-for-the-collector"}
    by_pre_ping = {"faults.stopped-mid-query"}
    assert {check for check in mended if CHECKS[check].cause != SESSIONS_STAY_OPEN} <= left_open | by_pre_ping


def test_each_library_fails_by_itself_as_its_conformance_shows() -> None:
    for library in LIBRARIES.values():
        if library.module in EXPECTED:
            own = {check for check in failures_of(library.module) if not CHECKS[check].default_of}
            assert own == set(library.fails), library.name


def test_a_library_s_own_fault_is_not_the_app_s() -> None:
    checks = [failed("lifecycle.later-context"), failed("faults.restart"), failed("transactions.rolls-back")]

    of_library = groups(with_rows(*checks, library="Flask-SQLAlchemy"))

    assert [group.default for group in of_library] == [
        "",
        "Flask-SQLAlchemy fails this check by itself.",
        "This is a default of SQLAlchemy, and Flask-SQLAlchemy keeps it.",
    ]
    assert [group.label for group in of_library] == [
        "data at risk",
        "data at risk, a library's default",
        "availability, a library's default",
    ]
    assert groups(with_rows(checks[0]))[0].default == ""


def test_a_remedy_is_written_in_the_terms_of_the_app() -> None:
    leak, ping = failed("lifecycle.request-ends"), failed("faults.restart")
    keys = failed("portability.foreign-keys")

    plain = groups(with_rows(leak, ping, keys, session_name="db_session", engine_name="engine"))
    flask_sqlalchemy = groups(
        with_rows(
            leak, ping, keys, library="Flask-SQLAlchemy", session_name="db.session", engine_name="db.engine"
        )
    )

    assert "app.teardown_appcontext(lambda error: db_session.remove())" in plain[0].remedy
    assert 'if engine.name == "sqlite":' in plain[1].code
    assert plain[2].remedy == "Add pool_pre_ping=True to create_engine()."
    assert "db.session.remove()" in flask_sqlalchemy[0].remedy
    assert 'if db.engine.name == "sqlite":' in flask_sqlalchemy[1].code
    assert flask_sqlalchemy[2].remedy == 'Add engine_options={"pool_pre_ping": True} to SQLAlchemy().'


PLAIN_SCOPE = 'scoped_session(lambda: Session(current_app.extensions["engine"]))'
FLASK_SQLALCHEMY = """
from flask import Flask
from flask_sqlalchemy import SQLAlchemy

db = SQLAlchemy()


def create_app(config=None):
    app = Flask("shop")
    app.config["SQLALCHEMY_DATABASE_URI"] = config["SQLALCHEMY_DATABASE_URI"]
    db.init_app(app)
    return app
"""
TEARDOWN = ("lifecycle.later-context", "lifecycle.failing-teardown", "lifecycle.used-in-teardown")
KEYS = ("portability.foreign-keys", "portability.cascade")
MENDED = {
    "removal": (SESSIONS_STAY_OPEN, WITHOUT_REMOVE, ("lifecycle.request-ends", "lifecycle.context-ends")),
    "scope": (
        SCOPED_BY_THREAD,
        FACTORY,
        ("lifecycle.nested-contexts", "lifecycle.async-view", "lifecycle.unwrapped-stream"),
    ),
    "keys": (FOREIGN_KEYS_OFF, FACTORY, KEYS),
    "keys of Flask-SQLAlchemy": (FOREIGN_KEYS_OFF, FLASK_SQLALCHEMY, KEYS),
    "teardown": (TEARDOWN_ORDER, FACTORY, TEARDOWN),
    "teardown of Flask-SQLAlchemy": (TEARDOWN_ORDER, FLASK_SQLALCHEMY, TEARDOWN),
}


def with_remedy(before: str, name: str) -> str:
    """Return an app with the code that the report prints for a cause."""
    library = "flask_sqlalchemy" in before
    terms = {
        "session": "db.session" if library else "db_session",
        "engine": "db.engine" if library else 'app.extensions["engine"]',
    }
    cause = CAUSES[name]
    remedy = cause.remedy_in(**terms, option="", note="")
    code = (
        cause.code_in(session=terms["session"], engine=terms["engine"])
        or remedy.removesuffix(".").partition(": ")[2]
    )
    if name == SCOPED_BY_THREAD:
        assert "`from flask.globals import app_ctx`" in remedy
        scope = code.replace("(...", PLAIN_SCOPE.removeprefix("scoped_session").removesuffix(")"))
        return "from flask.globals import app_ctx\n" + before.replace(PLAIN_SCOPE, scope)
    block = f"    with app.app_context():\n{textwrap.indent(code, ' ' * 8)}\n    return app\n"
    return before.replace("    return app\n", block)


@pytest.mark.parametrize("one", MENDED)
def test_the_code_in_a_remedy_mends_its_cause(project: Project, one: str) -> None:
    cause, before, checks = MENDED[one]
    after = with_remedy(before, cause)
    words = [word for check in checks for word in ("--testbed-check", check)]

    project.write(before, "shop.py")
    broken = project.run(*BATTERY, *words, "-q")
    project.write(after, "shop.py")
    whole = project.run(*BATTERY, *words, "-q")

    fewest = 1 if "Flask-SQLAlchemy" in one else 2
    assert int(re.findall(r"(\d+) failed", broken.text)[-1]) >= fewest
    assert f"{len(checks)} passed" in whole.text, after + whole.text


@pytest.mark.parametrize("before", [FACTORY, FLASK_SQLALCHEMY], ids=["plain", "Flask-SQLAlchemy"])
def test_the_remedies_for_sqlite_leave_other_databases_alone(project_here: Project, before: str) -> None:
    both = with_remedy(with_remedy(before, FOREIGN_KEYS_OFF), TIME_ZONE)
    project_here.write(both, "shop.py")

    checks = ("lifecycle.request-ends", "portability.time-zone-of-the-server")
    words = [word for check in checks for word in ("--testbed-check", check)]
    outcome = project_here.run(*BATTERY, *words, "-q")

    assert outcome.code == 0, both + outcome.text
    assert "passed" in outcome.text


def test_causes_that_need_arguments_of_the_driver_share_one_example() -> None:
    found = groups(
        with_rows(failed("faults.half-open"), failed("portability.time-zone"), engine_name="engine")
    )

    for group in found:
        assert '"postgresql": {"' in group.code
        assert '"tcp_user_timeout": 30000' in group.code
        assert """"init_command": "SET time_zone = '+00:00'\"""" in group.code
        compile(group.code, "remedy", "exec")


def test_a_failure_on_another_database_is_no_default_of_sqlite() -> None:
    (elsewhere,) = groups(with_rows(failed("portability.foreign-keys", "assert 1 == 2", "postgresql")))
    (both,) = groups(with_rows(failed("portability.foreign-keys", "assert 1 == 2", "sqlite", "postgresql")))

    assert (elsewhere.default, elsewhere.code, elsewhere.summary) == ("", "", "")
    assert both.default == ""
    assert "sqlite" in both.code


def test_the_advice_names_the_first_check_its_place_and_its_remedy() -> None:
    places = {"factory_at": "shop.py:7", "engine_at": "shop.py:9", "session_name": "db_session"}
    leaks = [failed("lifecycle.request-ends"), failed("transactions.fresh-reads")]

    assert begin_with(with_rows(failed("portability.foreign-keys"), *leaks, **places)) == (
        "Begin with lifecycle.request-ends, in shop.py:7. Sessions stay open after their app context."
        " 2 of 3 failed checks have this cause. Where the app is made, remove the session at the end of each"
        " context: app.teardown_appcontext(lambda error: db_session.remove())."
    )
    assert begin_with(with_rows(failed("portability.foreign-keys"), **places)).startswith(
        "Begin with portability.foreign-keys, in shop.py:9. Foreign keys are not checked. This is a default"
    )
    assert begin_with(with_rows()) == ""


def test_a_report_of_an_older_version_is_still_grouped() -> None:
    older = report()

    (group,) = groups(older)

    assert (group.severity, group.default, group.at, group.remedy) == ("", "", "", "Mend it.")


def test_the_advice_is_above_the_findings_and_below_all_other_lines(project: Project) -> None:
    project.write(WITHOUT_REMOVE, "shop.py")
    outcome = project.run(
        *BATTERY, "--testbed-check", "lifecycle.request-ends", "--testbed-report", "report", "-n", "2"
    )

    line = r"Begin with lifecycle\.request-ends, in shop\.py:16\."
    lines = outcome.text.splitlines()
    found = [number for number, text in enumerate(lines) if re.match(line, text)]
    assert len(found) == 2
    assert found[0] < lines.index("Cause 1 of 1, availability: Sessions stay open after their app context.")
    assert found[1] > next(number for number, text in enumerate(lines) if re.search(r"1 failed.* in ", text))
    for file in ("index.html", "summary.md"):
        assert re.search(line, (project.path / "report" / file).read_text(encoding="utf-8"))


LISTENER = """
from sqlalchemy import event


def switch_on(connection, _):
    if not hasattr(connection, "no_such_method"):
        connection.no_such_method()


def create_app(config=None):
    app = made(config["DATABASE_URI"])
    WHERE
    return app
"""


def test_an_app_that_cannot_connect_is_told_so_once(project: Project) -> None:
    where = 'event.listen(app.extensions["engine"], "connect", switch_on)'
    project.write(BINDING + LISTENER.replace("WHERE", where), "shop.py")

    outcome = project.run(*BATTERY, "--testbed-check", "lifecycle.request-ends")

    assert "The app cannot connect to sqlite: AttributeError: " in outcome.text, outcome.text
    assert "no_such_method', shop.py:20" in outcome.text
    assert "Sessions stay open" not in outcome.text


def test_an_error_of_the_app_s_own_code_is_the_cause(project: Project) -> None:
    where = 'event.listen(Session, "after_begin", lambda session, *_: switch_on(session, None))'
    project.write(BINDING + LISTENER.replace("WHERE", where), "shop.py")

    checks = ("lifecycle.request-ends", "lifecycle.no-stale-object")
    outcome = project.run(
        *BATTERY, *(word for check in checks for word in ("--testbed-check", check)), COLUMNS="100"
    )

    assert "Cause 1 of 1" in outcome.text, outcome.text
    assert "A view raised AttributeError: 'Session' object has no attribute" in outcome.text
    assert "where:      shop.py:20" in outcome.text


def test_a_table_that_cannot_be_created_is_mended_in_its_model(project: Project) -> None:
    model = MODELS.replace(
        '__tablename__ = "book"', '__tablename__ = "book"\n    __table_args__ = {"schema": "of"}'
    )
    project.write(f"{FACTORY}\n{model}", "shop.py")

    outcome = project.run(*BATTERY, "--testbed-check", "schema.own-tables", COLUMNS="100")

    line = (project.path / "shop.py").read_text().splitlines().index("class Book(Base):") + 1
    assert f"where:      shop.py:{line}" in outcome.text, outcome.text
