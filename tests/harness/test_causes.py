"""Failures are grouped by their causes, in the order in which a person should mend them."""

import io
import json
import re
import textwrap
from pathlib import Path

import pytest
from _pytest.terminal import TerminalReporter

from flask_sqlalchemy_testbed.checks.causes import (
    BUSY_THREADS,
    CAUSES,
    DETACHED,
    EARLY_CONNECTION,
    ERROR_HANDLER,
    FOREIGN_KEYS_OFF,
    NO_CONNECTION_LEFT,
    PART_OF_GROUP,
    POOL_WAIT,
    SCOPED_BY_THREAD,
    SESSIONS_STAY_OPEN,
    SHARED_ENGINE,
    TIME_ZONE,
)
from flask_sqlalchemy_testbed.checks.changes import CLONE
from flask_sqlalchemy_testbed.checks.claims import CHECKS
from flask_sqlalchemy_testbed.checks.definition import GROUPS
from flask_sqlalchemy_testbed.checks.explanation import explanation, severity_of
from flask_sqlalchemy_testbed.checks.libraries import LIBRARIES
from flask_sqlalchemy_testbed.report import github, html, markdown
from flask_sqlalchemy_testbed.report.causes import SHOWN, Group, begin_with, groups
from flask_sqlalchemy_testbed.report.matrix import CheckRow, Report
from flask_sqlalchemy_testbed.report.source import located
from flask_sqlalchemy_testbed.report.terminal import write
from flask_sqlalchemy_testbed.subject.app_threads import MEANWHILE
from tests.harness.projects import Project
from tests.harness.reports import report, row
from tests.harness.shops import BINDING, FACTORY, FLASK_SQLALCHEMY, MODELS, WITHOUT_REMOVE

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
    assert {check for cause in CAUSES.values() for check in cause.consequences} <= CHECKS.keys()
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


@pytest.mark.bad_day
def test_a_function_of_the_app_that_raises_in_each_request_is_the_first_cause() -> None:
    raised = "NameError: x, raised in shop.py:7 by end(), which Flask calls at the end of the app context"

    first, second = groups(
        with_rows(
            failed("transactions.rolls-back"),
            failed("faults.pool-exhausted", raised),
            failed("isolation.keys-start-again", f"setup: {raised}"),
        )
    )

    assert first.summary == "end(), which Flask calls at the end of the app context, raised NameError: x."
    assert (first.at, len(first.rows)) == ("shop.py:7", 2)
    assert [row["id"] for row in second.rows] == ["transactions.rolls-back"]


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


def test_what_a_thread_of_the_app_has_open_shows_no_other_cause() -> None:
    used = f"{LEAK}; {MEANWHILE} 'jobs' (shop.py, line 18)"

    busy, other, default = groups(
        with_rows(
            failed("transactions.rolls-back"),
            failed("faults.pool-exhausted", f"Failed: {used}"),
            failed("isolation.nothing-for-the-collector", f"teardown: Failed: {used}"),
            failed("lifecycle.failing-teardown", f"Failed: {used}"),
            app_at="shop.py:3",
        )
    )

    assert (busy.cause, busy.at, default.at) == (CAUSES[BUSY_THREADS], "shop.py:18", "shop.py:3")
    assert ids([busy, other, default]) == [
        ["faults.pool-exhausted", "isolation.nothing-for-the-collector"],
        ["transactions.rolls-back"],
        ["lifecycle.failing-teardown"],
    ]


def test_a_session_that_no_code_ends_stays_open_without_a_thread() -> None:
    used = f"{LEAK}; {MEANWHILE} 'jobs' (shop.py, line 18)"
    rows = [failed(check, f"Failed: {used}") for check in ("faults.pool-exhausted", "lifecycle.request-ends")]
    by_default = failed("lifecycle.failing-teardown", f"Failed: {used}")

    (ended,) = groups(with_rows(*rows))
    kept = failed(
        "isolation.nothing-for-the-collector", f"Failed: 1 object is left; {used.partition('; ')[2]}"
    )
    never, thread = groups(with_rows(kept, *rows, by_default, never_ended="yes", app_at="shop.py:3"))

    assert (ended.cause, ended.at) == (CAUSES[BUSY_THREADS], "shop.py:18")
    assert ids([never]) == [["lifecycle.request-ends", "faults.pool-exhausted", "lifecycle.failing-teardown"]]
    assert (never.cause, thread.cause) == (CAUSES[SESSIONS_STAY_OPEN], CAUSES[BUSY_THREADS])
    assert (never.at, thread.at) == ("shop.py:3", "shop.py:18")


def test_the_advice_calls_a_thread_a_possible_cause() -> None:
    used = f"{LEAK}; {MEANWHILE} 'jobs' (shop.py, line 18)"
    rows = [failed(check, f"Failed: {used}") for check in ("faults.pool-exhausted", "lifecycle.request-ends")]

    assert (
        " 2 of 2 failed checks ran while such a thread used the database: it may be the cause. Start them"
        in begin_with(with_rows(*rows))
    )


@pytest.mark.parametrize("check", CAUSES[SCOPED_BY_THREAD].consequences)
def test_an_engine_of_each_app_leaves_the_scope_as_the_cause(check: str) -> None:
    consequence = failed(check, "making another app removed a session that was in use")
    scope, engine = failed("lifecycle.async-view"), failed("binding.two-apps")

    assert ids(groups(with_rows(consequence, scope))) == [["lifecycle.async-view", check]]
    assert ids(groups(with_rows(consequence, engine))) == [["binding.two-apps", check]]
    assert ids(groups(with_rows(consequence, scope, engine)))[0] == ["binding.two-apps", check]
    assert ids(groups(with_rows(consequence))) == [[check]]


@pytest.mark.parametrize(
    "check", ["lifecycle.async-view", "faults.lost-between-requests", "binding.first-use"]
)
@pytest.mark.parametrize("raised", ["", ", raised in shop.py:7"])
def test_a_wait_for_the_pool_has_no_remedy_for_another_cause(check: str, raised: str) -> None:
    waited = failed(check, f"it returned 500 INTERNAL SERVER ERROR: TimeoutError: {POOL_WAIT} 1 over{raised}")

    (alone,) = groups(with_rows(waited, failed("portability.time-zone")))[:1]
    with_leak = groups(with_rows(waited, failed("lifecycle.request-ends", f"Failed: {LEAK}")))

    assert alone.cause is CAUSES[NO_CONNECTION_LEFT]
    assert (alone.code, alone.default) == ("", "")
    assert ids(with_leak) == [["lifecycle.request-ends", check]]
    (shown,) = groups(with_rows(waited, failed("lifecycle.request-ends", f"TimeoutError: {POOL_WAIT} 1")))
    assert shown.cause is CAUSES[NO_CONNECTION_LEFT]


def test_an_error_handler_is_one_cause_until_sessions_stay_open() -> None:
    handler = "by the error handler internal() in shop.py:20"
    waited = failed("faults.pool-exhausted", f"TimeoutError: {POOL_WAIT} 5, met {handler}")
    down = failed("binding.starts-without-its-database", f"OperationalError: no file, met {handler}")
    commits = failed("lifecycle.failed-request-ends", f"Failed: rows: ['1'], committed {handler}")

    (group,) = groups(with_rows(waited, down, commits))
    first = groups(with_rows(waited, failed("lifecycle.request-ends", f"Failed: {LEAK}")))[0]

    assert (group.cause, group.at) == (CAUSES[ERROR_HANDLER], "shop.py:20")
    assert "In the function in shop.py:20, roll the session back" in group.remedy
    assert first.cause is CAUSES[SESSIONS_STAY_OPEN]
    assert ids([first]) == [["lifecycle.request-ends", "faults.pool-exhausted"]]


@pytest.mark.parametrize("shown_by", ["lifecycle.context-ends", "lifecycle.failed-request-ends"])
def test_a_session_that_some_contexts_leave_open_is_the_cause_though_requests_end(shown_by: str) -> None:
    consequences = [
        failed("binding.second-app", f"teardown: Failed: {LEAK}"),
        failed("lifecycle.thread", f"Failed: {LEAK}"),
        failed("lifecycle.gevent", "AssertionError: connections in use after the requests (success): 1"),
        failed("isolation.objects-of-fixtures", "sqlalchemy.orm.exc.DetachedInstanceError: Instance"),
    ]
    at = {"app_at": "shop.py:8", "removed_early": "shop.py:16", "session_at": "shop.py:5"}

    (group,) = groups(with_rows(*consequences, failed(shown_by, f"Failed: {LEAK}"), **at))
    others = groups(with_rows(*consequences, failed(shown_by, "RuntimeError: no request"), **at))
    detached = failed("isolation.objects-of-fixtures", f"DetachedInstanceError: {DETACHED} shop.py:16")
    deleted = groups(with_rows(detached, failed(shown_by, f"Failed: {LEAK}"), **at))

    assert (group.rows[0]["id"], group.at) == (shown_by, "shop.py:8")
    assert ids(deleted) == [[shown_by, "isolation.objects-of-fixtures"]]
    assert group.summary == CAUSES[SESSIONS_STAY_OPEN].summary
    assert "remove_at_the_end" in group.code
    assert group.remedy.endswith(
        "Delete the code for it in shop.py:16: Flask does not call it at the end of every app context."
    )
    assert len(others) == len(consequences) + 1


def test_a_commit_at_the_end_of_requests_is_one_cause_in_the_place_of_the_commit() -> None:
    half = failed("lifecycle.handled-error", "AssertionError: rows that the request wrote were committed")
    flush = failed("lifecycle.failed-flush", "sqlalchemy.exc.PendingRollbackError: This Session's")
    rest, at = failed("faults.pool-exhausted"), {"factory_at": "shop.py:7", "session_at": "shop.py:5"}

    first, second = groups(with_rows(rest, flush, half, commit_at="shop.py:19", **at))
    (unknown,) = groups(with_rows(half, **at))

    assert ids([first, second]) == [[half["id"], flush["id"]], [rest["id"]]]
    assert (first.at, unknown.at) == ("shop.py:19", "shop.py:7")
    assert "Delete the commit in the teardown callback" in first.remedy
    assert "commit in the views" in first.remedy
    assert "calls session.rollback() before it adds them" in first.remedy
    assert ids(groups(with_rows(flush))) == [[flush["id"]]]


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
        "data at risk in some uses, a library's default",
        "availability in some uses, a library's default",
    ]
    assert groups(with_rows(checks[0]))[0].default == ""


def test_a_remedy_is_written_in_the_terms_of_the_app() -> None:
    leak, ping = failed("lifecycle.request-ends"), failed("faults.restart")
    keys = failed("portability.foreign-keys")

    own = {"session_name": "db_session", "session_end": "db_session.remove()", "engine_name": "engine"}
    of_library = {
        "session_name": "db.session",
        "session_end": "db.session.remove()",
        "engine_name": "db.engine",
    }

    plain = groups(with_rows(leak, ping, keys, **own))
    flask_sqlalchemy = groups(with_rows(leak, ping, keys, library="Flask-SQLAlchemy", **of_library))

    assert plain[0].code.startswith("def remove_at_the_end(*args, teardown=app.do_teardown_appcontext,")
    assert "db_session.remove()" in plain[0].code
    elsewhere = groups(with_rows(leak, session_import="from shop.db import db_session", **own))
    assert elsewhere[0].code == f"from shop.db import db_session\n\n\n{plain[0].code}"
    at_the_top = "the line that makes the app (imports at the top of the module), have the session removed"
    assert at_the_top in elsewhere[0].remedy
    assert "imports" not in plain[0].remedy
    late = groups(
        with_rows(leak, session_import="from tb import db_session", session_imports_app="yes", **own)
    )
    assert "    finally:\n        from tb import db_session\n\n        try:" in late[0].code
    assert 'if engine.name == "sqlite":' in plain[1].code
    assert plain[2].remedy == "Add pool_pre_ping=True to create_engine()."
    assert "db.session.remove()" in flask_sqlalchemy[0].code
    assert 'if db.engine.name == "sqlite":' in flask_sqlalchemy[1].code
    assert flask_sqlalchemy[2].remedy == 'Add engine_options={"pool_pre_ping": True} to SQLAlchemy().'


@pytest.mark.bad_day
def test_a_function_that_returns_the_session_is_called_in_each_remedy() -> None:
    own = {"session_name": "get_db", "session_end": "get_db().close()"}
    beside = failed(
        "lifecycle.nested-contexts", "Failed: connections are kept by the engine made in shop.py:7"
    )

    found = groups(with_rows(failed("transactions.savepoint-released"), beside, **own))

    text = " ".join(group.remedy for group in found)
    assert "get_db().connection(execution_options=" in text
    assert "get_db().get_bind()." in text
    assert "get_db." not in text


@pytest.mark.parametrize("library", [name for name in LIBRARIES if name])
def test_an_option_goes_into_the_argument_that_the_app_has_already(library: str) -> None:
    argument = LIBRARIES[library].option.partition("=")[0]

    (group,) = groups(with_rows(failed("faults.restart"), library=library, engine_arguments=f"a, {argument}"))

    assert group.remedy in {
        f'Add "pool_pre_ping": True to the {argument} there.',
        f"Add pool_pre_ping=True to the {argument} there.",
    }


@pytest.mark.parametrize("library", ["", *LIBRARIES])
def test_an_option_that_the_app_gives_another_value_is_changed(library: str) -> None:
    places = {"library": library, "engine_arguments": "echo, engine_options, pool_pre_ping"}

    (group,) = groups(with_rows(failed("faults.restart"), **places))

    assert group.remedy == "Change pool_pre_ping to True there."


def test_an_engine_that_another_function_makes_is_returned_to_the_factory() -> None:
    places = {"engine_at": "shop/db.py:12", "engine_name": "engine", "engine_function": "init_engine"}

    (group,) = groups(with_rows(failed("binding.two-apps"), **places, engine_called_at="shop/__init__.py:9"))

    assert group.code.endswith(
        "# Return the engine from init_engine() (shop/db.py:12)."
        " In the factory, in place of its call (shop/__init__.py:9):\n"
        'app.extensions["engine"] = init_engine(...)  # the arguments that it has now'
    )


@pytest.mark.bad_day
def test_an_engine_that_another_function_makes_has_its_name_in_the_factory() -> None:
    places = {"engine_name": "engine", "engine_called_as": "app.extensions['engine']"}

    (group,) = groups(with_rows(failed("binding.dropped-apps"), **places))

    assert group.code.endswith("finalize(app, app.extensions['engine'].dispose)")


@pytest.mark.bad_day
def test_the_change_of_a_global_engine_deletes_what_it_leaves() -> None:
    places = {"engine_name": "engine", "engine_global_at": "db.py:4, db.py:17", "unused_maker_at": "db.py:5"}

    (group,) = groups(with_rows(failed("binding.two-apps"), **places))

    assert group.code.endswith(
        "# Delete the line that makes the sessionmaker, which nothing uses now (db.py:5).\n"
        "# Delete the global name engine (db.py:4, db.py:17): the engine is a local variable now."
    )


@pytest.mark.parametrize("library", [name for name in LIBRARIES if name])
def test_no_change_replaces_the_session_of_a_library(library: str) -> None:
    names = {"session_name": "db.session", "session_at": "shop.py:6", "engine_name": "db.engine"}
    names["app_name"] = "shop"
    shared, scoped = failed("binding.two-apps"), failed("lifecycle.async-view")

    (scope,) = groups(with_rows(scoped, library=library, **names))
    engine, keys = groups(with_rows(shared, failed("portability.foreign-keys"), library=library, **names))

    assert (scope.code, engine.code) == ("", "")
    assert scope.remedy.startswith("Delete `scopefunc` from the session_options in shop.py:6,")
    assert f"{library} scopes its session by the context." in scope.remedy
    assert engine.remedy.startswith(f"Make the object of {library} in the factory")
    assert 'if db.engine.name == "sqlite":' in keys.code
    assert "in a block `with shop.app_context():`" in keys.remedy


def with_remedy(before: str, name: str) -> str:
    """Return an app with the code that the report prints for a cause of its engine."""
    engine = "db.engine" if "flask_sqlalchemy" in before else 'app.extensions["engine"]'
    code = textwrap.indent(CAUSES[name].code_in({"ENGINE": engine}), " " * 8)
    return before.replace("    return app\n", f"    with app.app_context():\n{code}\n    return app\n")


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

    first, second = found
    assert '"tcp_user_timeout": 30000' in first.code
    assert {"-c lock_timeout=5s", "-c timezone=UTC"} <= set(re.findall(r"-c \w+=\w+", first.code))
    (settings,) = re.findall('"init_command": "SET ([^"]+)"', first.code)
    assert {"lock_wait_timeout = 5", "time_zone = '+00:00'"} <= set(settings.split(", "))
    compile(first.code, "remedy", "exec")
    assert "stay in the old zone" in first.remedy
    assert first.remedy.endswith(" The code has the arguments for cause 2 (faults.half-open), too.")
    assert (second.code, second.remedy[:24]) == ("", "The change for cause 1 (")
    assert "a statement of more than 30 s then fails" in second.remedy
    assert second.remedy.endswith("(docs/binding.md, Time limits). No check needs that engine.")


def test_the_example_has_the_arguments_for_the_causes_of_the_report_alone() -> None:
    (wait,) = groups(with_rows(failed("faults.half-open")))
    (zone,) = groups(with_rows(failed("portability.time-zone")))

    assert "zone" not in wait.code
    assert "timeout" not in zone.code
    assert "The code has the arguments" not in wait.remedy + zone.remedy
    assert "stay in the old zone" in zone.remedy


def test_the_change_of_sqlite_s_begin_says_which_requests_then_fail_at_once() -> None:
    (begin,) = groups(with_rows(failed("transactions.savepoint-released"), session_name="db.session"))

    assert begin.remedy.endswith(
        "A GET request, or code outside requests, that reads and then writes may fail at once with"
        " 'database is locked': begin it with"
        ' db.session.connection(execution_options={"sqlite_begin": "IMMEDIATE"}). Give the option to calls of'
        " create_all() and drop_all(), too, in the app and in tests:"
        ' metadata.create_all(engine.execution_options(sqlite_begin="IMMEDIATE")). A second session in a POST'
        ' request can only read: begin it with "DEFERRED".'
    )


@pytest.mark.bad_day
def test_no_text_in_a_change_is_taken_for_a_term() -> None:
    (begin,) = groups(
        with_rows(failed("transactions.savepoint-released"), session_options=", autoflush=False")
    )

    assert '{"GET", "HEAD", "OPTIONS"}' in begin.code


@pytest.mark.bad_day
@pytest.mark.parametrize(
    ("left", "number"),
    [
        ("left in its scoped_session: 1 session that is closed or was never used, first used in code", 1),
        ("left open: session in a transaction", 2),
    ],
)
def test_a_session_that_a_lost_connection_leaves_is_a_consequence_of_a_removal_in_a_callback(
    left: str, number: int
) -> None:
    lost = failed("faults.stopped-mid-query", f"teardown: Failed: {left}")

    assert len(groups(with_rows(lost, failed("lifecycle.failing-teardown")))) == number


@pytest.mark.parametrize(
    ("name", "engine"),
    [("db.engine", "db.engine"), ('app.extensions["engine"]', 'current_app.extensions["engine"]')],
)
def test_the_change_of_sqlite_s_begin_names_the_calls_that_create_tables(name: str, engine: str) -> None:
    at = {"engine_name": name, "defines_tables_at": "shop/db.py:9", "metadata_name": "Base.metadata"}
    (begin,) = groups(with_rows(failed("transactions.savepoint-released"), **at))

    assert (
        "calls of create_all() and drop_all(), too, in the app (shop/db.py:9) and in tests:"
        f' Base.metadata.create_all({engine}.execution_options(sqlite_begin="IMMEDIATE")).'
    ) in begin.remedy


def test_a_lock_that_a_function_meets_is_a_consequence_of_sessions_that_stay_open() -> None:
    error = "OperationalError: (sqlite3.OperationalError) database is locked"
    place = "raised in shop.py:9 by seen(), which Flask calls before the view"
    locked = failed("binding.fork", f"a worker failed: 500 INTERNAL SERVER ERROR: {error}, {place}")

    (alone,) = groups(with_rows(locked, session_name="db.session"))
    leak = failed("lifecycle.request-ends", f"Failed: {LEAK}")

    assert (alone.at, alone.summary) == (
        "shop.py:9",
        f"seen(), which Flask calls before the view, raised {error}.",
    )
    assert (
        'begin it with db.session.connection(execution_options={"sqlite_begin": "IMMEDIATE"})' in alone.remedy
    )
    assert ids(groups(with_rows(locked, leak))) == [["lifecycle.request-ends", "binding.fork"]]


def test_one_change_for_several_causes_is_shown_once() -> None:
    shared, scoped = failed("binding.two-apps"), failed("lifecycle.async-view")
    late, leak = failed("lifecycle.later-context"), failed("lifecycle.request-ends", f"Failed: {LEAK}")

    engine, scope = groups(with_rows(shared, scoped))
    first, second = groups(with_rows(late, leak))

    assert "class AppSession" in engine.code
    assert "scopefunc=" in engine.code
    assert "do_teardown_appcontext" in first.code
    for before, after in ((engine, scope), (first, second)):
        check = before.rows[0]["id"]
        assert (after.remedy, after.code) == (f"The change for cause 1 ({check}) mends this one, too.", "")
    assert "replaces the line of a teardown callback that removes the session" in first.remedy


@pytest.mark.parametrize("library", ["", "Flask-SQLAlchemy"])
def test_the_first_cause_names_the_others_whose_lines_have_the_same_place(library: str) -> None:
    checks = (
        "portability.foreign-keys",
        "transactions.savepoint-released",
        "faults.half-open",
        "faults.restart",
    )
    places = {"library": library, "engine_at": "shop.py:6", "given_at": "shop.py:9", "engine_name": "engine"}

    found = groups(with_rows(*map(failed, checks), **places))
    alone = groups(with_rows(failed(checks[0]), **places))
    shared = [group.remedy for group in found if " the same place: add " in group.remedy]

    assert shared == [found[0].remedy]
    assert found[0].remedy.endswith(
        "Cause 2 (transactions.savepoint-released) and cause 4 (faults.half-open) have the same place: add"
        " their lines below these, in any order, without the imports and assignments that are there already."
    )
    assert " the same place: " not in alone[0].remedy
    assert all(("one block for" in group.remedy) == bool(library) for group in found if group.code)


def test_the_places_that_use_the_session_outside_contexts_are_named() -> None:
    at = {"used_outside": "shop.py:21", "bound_at": "shop.py:19", "engine_at": "shop.py:18"}
    names = {"engine_name": "engine", "session_name": "db_session"}

    (scope,) = groups(with_rows(failed("lifecycle.async-view"), **at, **names))
    (engine,) = groups(with_rows(failed("binding.two-apps"), **at, **names))

    assert scope.remedy.endswith("The app uses it outside contexts in shop.py:19, shop.py:21.")
    assert engine.remedy.endswith("The app uses it outside contexts in shop.py:21.")
    assert '(shop.py:18):\napp.extensions["engine"] = engine' in engine.code
    assert engine.code.endswith("# Delete the line that binds the sessions to an engine (shop.py:19).")


def test_the_change_is_above_the_checks_and_only_the_first_checks_are_shown_whole() -> None:
    mended = [check for check in CHECKS.values() if check.cause == SESSIONS_STAY_OPEN]
    found = with_rows(*(failed(check.id) for check in mended), factory_at="shop.py:7")
    found = {**found, "evidence": {}}

    (group,) = groups(found)
    page, summary = html.render(found, power=[]), markdown.render(found)
    (annotation,) = github.annotate(found, ROOT)
    terminal = printed(found)

    count = len(mended) - SHOWN
    for text in (page[page.index('id="failures"') :], summary, annotation, terminal):
        places = [text.index(words) for words in ("Directly after", "remove_at_the_end", "request-ends")]
        assert places[1] < text.index(group.rows[1]["id"], places[0]), text
    assert f"<summary>{count} more checks failed</summary>" in page
    assert f"<summary>{count} more checks failed</summary>" in summary
    assert f" and {count} more.%0A" in annotation
    assert terminal.count("claim:") == SHOWN
    assert all(row["id"] in terminal for row in group.others)


def printed(found: Report) -> str:
    """Return what the terminal shows of the causes of a report."""
    file = io.StringIO()
    config = pytest.Config.fromdictargs({}, ["-p", "no:cacheprovider"])
    write(TerminalReporter(config, file), found)
    return file.getvalue().partition("Cause 1 of")[2]


def test_a_cause_has_one_severity_in_the_report_and_in_the_explanations() -> None:
    for cause in CAUSES.values():
        if cause.shown_by:
            assert severity_of(cause.name) == CHECKS[cause.shown_by].severity
    for check in CHECKS.values():
        (group,) = groups(with_rows(failed(check.id)))
        said = dict(explanation(check)).get("severity", "")
        if group.cause:
            assert said.endswith(group.severity), check.id
        elif check.cause:  # without the check that shows the cause
            assert said.startswith(group.severity), check.id
        else:
            assert said == group.severity, check.id


def test_an_explanation_names_the_check_whose_failure_replaces_its_remedy() -> None:
    for check in CHECKS.values():
        shown_by = CAUSES[check.cause].shown_by if check.cause else ""
        remedies = [text for label, text in explanation(check) if label == "remedy"]
        replaced = (
            f"If {shown_by} fails, too, the report shows the remedy of that check: both have one cause."
        )
        assert (replaced in remedies) == (shown_by not in {"", check.id}), check.id


def test_a_remedy_that_names_a_file_of_this_repository_says_where_that_is() -> None:
    remedies = [check.remedy for check in CHECKS.values()] + [cause.remedy for cause in CAUSES.values()]
    naming = [remedy for remedy in remedies if "app/" in remedy]

    assert len(naming) > 2
    for remedy in naming:
        assert re.search(rf"app/database/\w+\.py from {CLONE}", remedy)


@pytest.mark.parametrize(
    ("library", "module"),
    [("", "makes the engine"), ("Flask-SQLAlchemy", "gives the app to Flask-SQLAlchemy")],
)
@pytest.mark.parametrize("check", ["lifecycle.clean-connection", "faults.failover", "lifecycle.unread-rows"])
def test_a_copied_file_is_beside_the_module_that_imports_it(check: str, library: str, module: str) -> None:
    (group,) = groups(with_rows(failed(check, "assert 1 == 2", "mysql"), library=library))

    assert f".py from {CLONE}, beside the module that {module}. " in group.remedy


def test_an_explanation_begins_with_the_file_that_the_report_has_copied() -> None:
    copied = re.compile(rf"Copy app/database/\w+\.py from {CLONE}")

    for check in CHECKS.values():
        if check.cause and (found := copied.match(CAUSES[check.cause].remedy)):
            assert check.remedy.startswith(found[0]), check.id


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
        " 2 of 3 failed checks have this cause. Directly after the line that makes the app, have"
        " the session removed after all callbacks, also if one raises. This replaces the line of a teardown"
        " callback that removes the session: do not keep both, but keep the callback's other lines. The code"
        " is shown with cause 1. Run again after each change: it moves the lines that later causes name."
    )
    assert "Run again" not in begin_with(with_rows(*leaks, **places))
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

    line = r"Begin with lifecycle\.request-ends, in shop\.py:10\."
    lines = outcome.text.splitlines()
    found = [number for number, text in enumerate(lines) if re.match(line, text)]
    assert len(found) == 2
    assert found[0] < lines.index("Cause 1 of 1, data at risk: Sessions stay open after their app context.")
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


FIRST_USED = (
    "left in its scoped_session: 1 session that is closed or was never used, first used at shop.py:22 in seed"
)


def test_a_session_that_the_factory_left_is_a_cause_of_its_own() -> None:
    early, late = f"Failed: {FIRST_USED}", "Failed: left in its scoped_session: 1 session"
    left = [
        failed("lifecycle.thread", early),
        failed("lifecycle.unread-rows", f"Failed: a stream: {FIRST_USED}"),
    ]
    at = {"used_early": "shop.py:22, shop.py:23", "used_outside": "shop.py:22, shop.py:23"}

    (alone,) = groups(with_rows(*left, **at))
    engine, with_engine = groups(with_rows(*left, failed("binding.two-apps"), **at))
    (in_a_context,) = groups(with_rows(*left, used_early="shop.py:22"))
    unknown = groups(with_rows(failed("lifecycle.unread-rows", late), session_end="db_session.remove()"))

    assert alone.summary.startswith("The app uses its session outside app contexts while it is made")
    assert alone.remedy.endswith("The app uses it outside contexts in shop.py:22, shop.py:23.")
    assert with_engine.remedy == "The change for cause 1 (binding.two-apps) mends this one, too."
    assert "shop.py:22" in engine.remedy
    assert "do_teardown_appcontext" in in_a_context.code
    assert "PyMySQL" not in unknown[0].remedy
    assert "db_session.remove()" in unknown[0].remedy
    assert ": lifecycle.unread-rows fails." in printed(
        {**with_rows(failed("lifecycle.unread-rows", late)), "evidence": {}}
    )


def test_an_app_that_connects_while_it_is_made_is_changed_where_it_connects() -> None:
    check = "binding.starts-without-its-database"
    found = with_rows(failed(check), factory_at="shop.py:6", used_early="shop.py:28, shop.py:30")

    (group,) = groups(found)
    (unknown,) = groups(with_rows(failed(check), factory_at="shop.py:6"))

    assert group.cause is CAUSES[EARLY_CONNECTION]
    assert (group.at, unknown.at) == ("shop.py:28", "shop.py:6")
    assert "in shop.py:28." in begin_with(found)


def test_one_way_to_remove_the_session_is_in_all_remedies() -> None:
    texts = [check.remedy for check in CHECKS.values()]
    texts += [cause.remedy + cause.code for cause in CAUSES.values()]

    assert [
        text for text in texts if re.search(r"@\w+\.teardown_appcontext|in a teardown_appcontext", text)
    ] == []
    assert all(
        "do not keep both" in text
        for text in texts
        if "do_teardown_appcontext" in text and "def " not in text
    )


def test_code_that_removes_the_session_after_its_first_use_is_moved() -> None:
    at = {"app_at": "shop.py:29", "removed_late": "shop.py:35", "used_outside": "shop.py:22"}

    (leak,) = groups(with_rows(failed("lifecycle.request-ends"), **at))
    (shared,) = groups(with_rows(failed("binding.two-apps"), **at))

    assert leak.at == "shop.py:29"
    assert leak.remedy.startswith("Directly after shop.py:29, the line that makes the app,")
    assert leak.remedy.endswith(
        "Delete the code for it in shop.py:35: the app uses the session before that line."
    )
    first = "First move the code that removes the session, in shop.py:35, to directly after shop.py:29"
    assert shared.remedy.startswith(f"{first}. Keep each app's engine")


@pytest.mark.bad_day
def test_a_move_of_code_that_a_later_cause_deletes_says_so() -> None:
    at = {"app_at": "shop.py:29", "removed_late": "shop.py:35", "teardown_at": "shop.py:35"}
    shared, raising = failed("binding.two-apps"), failed("lifecycle.failing-teardown")
    leak = failed("lifecycle.request-ends", f"Failed: {LEAK}")

    engine, _ = groups(with_rows(shared, raising, **at))
    _, after = groups(with_rows(leak, shared, **at))

    assert "to directly after shop.py:29; the change for cause 2 replaces it. Keep" in engine.remedy
    assert after.remedy.startswith("Keep each app's engine")


@pytest.mark.bad_day
def test_code_that_removes_the_session_is_named_where_it_is_replaced() -> None:
    (late,) = groups(with_rows(failed("lifecycle.later-context"), teardown_at="shop.py:35"))

    assert late.remedy.endswith(" but keep the callback's other lines. Delete the code for it in shop.py:35.")


@pytest.mark.bad_day
def test_the_call_in_the_factory_that_needs_a_context_is_named() -> None:
    at = {"used_outside": "db.py:5, db.py:9", "reached_from": "shop.py:20, shop.py:24"}
    at |= {"removed_first": "db.py:4", "engine_function": "init_engine", "engine_called_at": "shop.py:24"}

    (scope,) = groups(with_rows(failed("lifecycle.async-view"), **at))
    (engine,) = groups(with_rows(failed("binding.two-apps"), **at))

    assert scope.remedy.endswith(
        "The app uses it outside contexts in db.py:5, db.py:9: put shop.py:20, shop.py:24 into the block."
        " Delete the line that removes the session before its first use (db.py:4)."
    )
    assert engine.remedy.endswith(
        "The app uses it outside contexts in db.py:5: put shop.py:20 into the block. Move db.py:9 out of"
        " init_engine(), into the block after its call: before, the app has no engine."
    )
    assert engine.code.endswith("# Delete the line that removes the session before its first use (db.py:4).")


@pytest.mark.bad_day
@pytest.mark.parametrize("engine_uses", ["", "shop/db.py:9, tests/conftest.py:8"])
def test_the_change_of_a_global_engine_says_what_replaces_its_other_uses(engine_uses: str) -> None:
    at = {"engine_name": "engine", "engine_is_global": "yes", "app_name": "application"}
    if engine_uses:
        at["engine_calls"] = "tests/conftest.py:12"
    (engine,) = groups(with_rows(failed("binding.two-apps"), engine_uses=engine_uses, **at))
    (kept,) = groups(with_rows(failed("binding.two-apps"), engine_name="engine"))

    places = f" ({engine_uses})" if engine_uses else ""
    calls = " (tests/conftest.py:12)" if engine_uses else ""
    assert (
        ' Write application.extensions["engine"] in the factory, and current_app.extensions["engine"]'
        f" elsewhere, in place of other uses of engine{places}. Put calls of such functions outside contexts,"
        f" also those in tests, into a block `with application.app_context():`{calls}. "
    ) in engine.remedy
    assert "other uses" not in kept.remedy


@pytest.mark.bad_day
@pytest.mark.parametrize("commands", ["", "shop/cli.py:9"])
def test_a_command_of_click_gets_its_context_from_a_decorator(commands: str) -> None:
    at = {"engine_name": "engine", "app_name": "application", "engine_commands": commands}
    (engine,) = groups(with_rows(failed("binding.two-apps"), **at))
    (scope,) = groups(with_rows(failed("lifecycle.async-view"), **at))

    places = f" ({commands})" if commands else ""
    assert engine.remedy.endswith(
        "into a block `with application.app_context():`. If application is not known there, pass it on."
        f" A command that cli.add_command() adds{places} needs no block: put `@with_appcontext` of"
        " flask.cli below its `@click.command`."
    )
    assert "A command that cli.add_command() adds needs no block" in scope.remedy


@pytest.mark.bad_day
@pytest.mark.parametrize(
    ("subject", "files"),
    [({}, "migrations/env.py, alembic.ini and scripts"), ({"other_uris": "env.py:5"}, "env.py:5")],
)
def test_the_change_of_relative_paths_says_that_the_file_moves(subject: dict[str, str], files: str) -> None:
    (path,) = groups(with_rows(failed("binding.relative-path"), **subject))

    assert path.remedy.endswith(f"Other code still names the old file: write the new path in {files}, too.")
    assert (
        "instance folder of the app: move an existing file there, or create its tables again." in path.remedy
    )


@pytest.mark.parametrize(
    ("why", "at"),
    [
        ("302 (shop.load (shop.py, line 25) answered it before the view)", "shop.py:25"),
        ("500 (OperationalError: the server does not answer)", ""),
    ],
)
def test_an_option_that_the_engine_has_is_no_remedy(why: str, at: str) -> None:
    reason = f"1 of 4 later requests failed, the first with {why}; the engine has pool_pre_ping=True"
    places = {"library": "Flask-SQLAlchemy", "engine_at": "shop.py:7", "factory_at": "shop.py:9"}

    (group,) = groups(with_rows(failed("faults.restart", reason, "postgresql"), **places))

    assert (group.default, group.at, group.summary) == ("", at, "")
    assert group.remedy.startswith("The engine has pool_pre_ping=True already.")


ELSEWHERE = "errors.BoundElsewhereError: --app 'shop:create_app' is bound to sqlite:///a.db, not to"


@pytest.mark.parametrize("others", [(), ("binding.two-apps",)])
def test_an_app_that_is_bound_elsewhere_has_the_engine_of_another(others: tuple[str, ...]) -> None:
    checks = (*others, "binding.relative-path", "binding.starts-without-its-database")

    (group,) = groups(with_rows(*(failed(check, ELSEWHERE) for check in checks)))

    assert group.cause is CAUSES[SHARED_ENGINE]


@pytest.mark.parametrize(
    ("error", "summary", "at"),
    [
        (
            "--as-user 'users:log_in' raised OperationalError: no such table: users, raised in users.py:4",
            "--as-user 'users:log_in' raised OperationalError: no such table: users",
            "users.py:4",
        ),
        (
            "users:log_in did not end within 10 s; it was in log_in (users.py, line 9)",
            "users:log_in did not end within 10 s; it was in log_in (users.py, line 9)",
            "",
        ),
    ],
    ids=["raised", "hung"],
)
def test_an_error_of_the_function_that_logs_in_is_one_cause_of_its_own(
    error: str, summary: str, at: str
) -> None:
    error = f"errors.SubjectError: {error}"
    by_thread = failed("binding.app-inside-app", f"setup: {error}")

    found = groups(with_rows(failed("binding.two-apps", error), by_thread, failed("binding.fork")))

    (own,) = (group for group in found if not group.default)
    assert (own.cause, own.at, len(own.rows)) == (None, at, 2)
    assert own.summary == f"The battery could not log in: {summary}."


@pytest.mark.parametrize("check", ["binding.two-apps", "lifecycle.async-view"])
@pytest.mark.parametrize(
    ("places", "named"), [({"unwrapped_streams": "shop.py:7, api.py:9"}, " (shop.py:7, api.py:9)"), ({}, "")]
)
def test_a_session_that_needs_a_context_has_streams_wrapped(
    check: str, places: dict[str, str], named: str
) -> None:
    (group,) = groups(with_rows(failed(check), **places))

    assert f"generators of streamed responses in stream_with_context(){named}: their" in group.remedy


def test_a_cause_in_several_places_is_annotated_at_the_first(tmp_path: Path) -> None:
    assert located("audit.py:8, db.py:9", tmp_path) == located("audit.py:8", tmp_path)


@pytest.mark.parametrize(
    ("end", "check", "evidence"),
    [
        (
            "db_session.close()",
            "lifecycle.request-ends",
            "is closed or was never used, first used in code of the testbed",
        ),
        ("None", "portability.characters", "session, the first opened in code of the testbed"),
    ],
)
def test_evidence_names_no_line_of_the_battery_or_of_flask(
    project_on_one: Project, end: str, check: str, evidence: str
) -> None:
    hook = f"    app.after_request(lambda response: {end} or response)\n    return app"
    project_on_one.write(WITHOUT_REMOVE.replace("    return app", hook), "shop.py")

    outcome = project_on_one.run(*BATTERY, "--testbed-check", check)

    assert evidence in " ".join(outcome.text.split()), outcome.text
    assert not re.search(r"(flask|battery|testbed)/\w+\.py:\d+ in ", outcome.text), outcome.text
