"""When a session begins and ends."""

import contextlib
import gc
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response, abort, appcontext_tearing_down, stream_with_context
from sqlalchemy import inspect, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError, InvalidRequestError
from sqlalchemy.orm import Session, object_session
from sqlalchemy.orm.exc import DetachedInstanceError

from flask_sqlalchemy_testbed.battery.greenlets import AT_ONCE, HANG_UP, KINDS, REPORT, SESSIONS, WAITS
from flask_sqlalchemy_testbed.battery.requests import (
    ERROR,
    add_error_handler,
    add_view,
    address_of,
    ask,
    ask_with,
    client_of,
    get,
    route,
)
from flask_sqlalchemy_testbed.battery.served import environment as environment_of
from flask_sqlalchemy_testbed.battery.tables import Item, session_of
from flask_sqlalchemy_testbed.battery.threads import WITHIN, Task, at_once, poll
from flask_sqlalchemy_testbed.battery.trial import Trial, read_twice
from flask_sqlalchemy_testbed.battery.workers import FIRST_WITHIN, GREENLETS, Workers, workers
from flask_sqlalchemy_testbed.checks.check import check
from flask_sqlalchemy_testbed.redaction import redact

FAILURES = ("abort", "nowhere", "error", "handled")

# Ten rows, and a query for 10^8: reading those takes minutes. The hint has MySQL send the first at once.
TEN = "INSERT INTO testbed_item (name) VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)"
MANY = "SELECT /*+ NO_BNL() */ a.name FROM " + ", ".join(f"testbed_item {alias}" for alias in "abcdefgh")  # noqa: S608
# Seconds; a request that does not read them needs a few milliseconds.
UNREAD = 8.0

# Queries that the server answers after so many seconds.
SLEEP_SECONDS = 0.3
SLEEP = {
    "postgresql": f"SELECT count(pg_sleep({SLEEP_SECONDS}))",
    "mysql": f"SELECT SLEEP({SLEEP_SECONDS})",
}

# Statements that change the state of a connection beyond its transaction, and queries that show the change.
TEMPORARY_TABLE = "CREATE TEMPORARY TABLE testbed_left (id INTEGER)"
MYSQL_LOCK = "CONCAT('testbed of ', DATABASE())"
LEFT_ON_CONNECTION = {
    "sqlite": {
        "PRAGMA recursive_triggers = ON": "PRAGMA recursive_triggers",
        TEMPORARY_TABLE: "SELECT name FROM sqlite_temp_master",
    },
    "postgresql": {
        "SET search_path TO pg_catalog": "SHOW search_path",
        "SELECT set_config('lock_timeout', '7s', false)": "SHOW lock_timeout",
        "SELECT pg_advisory_lock(7)": "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
        " AND pid = pg_backend_pid()",
        "LISTEN testbed_left": "SELECT pg_listening_channels()",
        TEMPORARY_TABLE: "SELECT count(*) FROM pg_class WHERE relname = 'testbed_left'",
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY": "SHOW default_transaction_read_only",
    },
    "mysql": {
        "SET @testbed_left = 7": "SELECT @testbed_left",
        "SET SESSION sql_mode = ''": "SELECT @@sql_mode",
        "SET foreign_key_checks = 0": "SELECT @@foreign_key_checks",
        f"SELECT GET_LOCK({MYSQL_LOCK}, 0)": f"SELECT IS_USED_LOCK({MYSQL_LOCK}) = CONNECTION_ID()",
        TEMPORARY_TABLE: "SELECT count(*) FROM information_schema.innodb_temp_table_info",
        "SET SESSION TRANSACTION READ ONLY": "SELECT @@transaction_read_only",
        "LOCK TABLES testbed_item READ": "SELECT count(*) FROM testbed_part",
    },
}


class OddError(Exception):
    """An error in a view or in a teardown callback."""


class CancelledRequest(BaseException):
    """An error like gevent.Timeout and GreenletExit, by which a server ends a request."""


def fail(_: object = None) -> None:
    raise OddError


@contextlib.contextmanager
def odd_errors_suppressed() -> Iterator[None]:
    """Suppress `OddError`, alone or in a group of its kind.

    Flask 3.2 raises all errors of a teardown as one group.
    """
    try:
        yield
    except* OddError:
        pass


def handled(trial: Trial, app: Flask, path: str) -> object:
    """Return what the check's error handler returned, or the status if it failed.

    The check is not applicable to an app that does not call such a handler.
    """
    answer = ask(app, path)
    if not answer.is_handled and answer.is_reached:
        how = f" {answer.handler}" if answer.handler else ", and calls no error handler"
        trial.not_applicable(f"the app answers errors of views itself, with {answer.status}{how}")
    return answer.value if answer.has_returned else answer.failure


@contextlib.contextmanager
def served(app: Flask, path: str) -> Iterator[Iterator[bytes]]:
    """Yield the body of a response as a server gets it, unread; close the response at the end."""
    response = app.wsgi_app(address_of(app).environ(path), lambda *_: lambda _: None)
    try:
        yield iter(response)
    finally:
        # PEP 3333: `close` belongs to the iterable, which may have none, and not to its iterator.
        getattr(response, "close", lambda: None)()


@check("lifecycle.request-ends")
def test_request_ends(trial: Trial) -> None:
    app = trial.app()
    add_view(app, "/testbed/both", lambda: [trial.write(), trial.read()])

    assert get(app, "/testbed/both") == ["written", trial.written]
    trial.assert_nothing_left()


@check("lifecycle.failed-request-ends")
def test_failed_request_ends(trial: Trial) -> None:
    app = trial.app()
    app.before_request(lambda: trial.write() and None)
    add_error_handler(app, OddError, lambda _: ("handled", 418))
    add_view(app, "/testbed/abort", lambda: abort(404))
    add_view(app, "/testbed/error", lambda: {}["error"])  # type: ignore[index] # the key is missing
    add_view(app, "/testbed/handled", fail)
    for path, propagate in [(path, False) for path in FAILURES] + [("error", True)]:
        app.config["PROPAGATE_EXCEPTIONS"] = propagate
        before = len(trial.written)
        with contextlib.suppress(KeyError):
            # An app may have pages of its own for errors, with another status.
            ask(app, f"/testbed/{path}")
        assert len(trial.written) > before, f"the request for {path} did not use the session"
        trial.assert_nothing_open(after=path)
    trial.assert_nothing_left()


@check("lifecycle.context-ends")
def test_context_ends(trial: Trial) -> None:
    with trial.app().app_context():
        trial.write()

    trial.assert_nothing_left()


@check("lifecycle.async-view")
def test_async_view(trial: Trial) -> None:
    app = trial.app()
    app.before_request(lambda: trial.write() and None)

    @route(app, "/testbed/async")
    async def view() -> list[str]:
        return trial.read()

    for _ in range(3):
        found = get(app, "/testbed/async")
        assert trial.written[-1] in found, f"the view does not use its request's session: it returned {found}"
        trial.assert_nothing_open()


@check("lifecycle.unwrapped-stream")
def test_unwrapped_stream(trial: Trial) -> None:
    app = trial.app()

    def chunks() -> Iterator[str]:
        yield trial.write()

    def closing() -> Response:
        response = Response("closing")
        response.call_on_close(trial.write)
        return response

    add_view(app, "/testbed/generator", chunks)
    add_view(app, "/testbed/callback", closing)
    for late in ("generator", "callback"):
        with contextlib.suppress(RuntimeError), served(app, f"/testbed/{late}") as body:
            list(body)
        trial.assert_nothing_open(f"a {late} used the session after its context")


@check("lifecycle.session-options")
def test_session_options(trial: Trial) -> None:
    app, numbers = trial.app(), count()

    def write() -> str:
        try:
            session = trial.session(expire_on_commit=False)
        except (TypeError, RuntimeError, InvalidRequestError):
            # A session may take no options, and a binding may refuse one: there is nothing to end then.
            return "refused"
        # Of different names: the app may commit the items of its requests.
        session.add(Item(name=f"uncommitted {next(numbers)}"))
        session.flush()
        return "written"

    def chunks() -> Iterator[str]:
        yield write()

    views: dict[str, Callable[[], Any]] = {
        "view": write,
        "stream": chunks,
        "stream-with-context": lambda: stream_with_context(chunks()),
    }
    for name, view in views.items():
        add_view(app, f"/testbed/{name}", view)
    for name in views:
        found = get(app, f"/testbed/{name}")
        assert found in {"written", "refused"}, (
            f"the {name} that made a session with options returned {found}"
        )
        trial.assert_nothing_open(f"a {name} made a session with options")


@pytest.fixture
def no_stream_left(trial: Trial) -> Iterator[None]:
    """End streams that the app left open: their finalizers would read for minutes, at any later moment."""
    yield
    trial.database.terminate(trial.database.sessions())
    # pytest keeps the errors of a failure: PyMySQL's finalizer would fail later, and warn in another check.
    for one in gc.get_objects():
        if type(one).__name__ == "MySQLResult":
            one.unbuffered_active = False
    gc.collect()


@check("lifecycle.unread-rows")
@pytest.mark.usefixtures("no_stream_left")
# psycopg 3 warns of a stream that is not closed, and PyMySQL's finalizers fail on a closed connection.
@pytest.mark.filterwarnings("ignore:.*ServerCursor.*:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_unread_rows(trial: Trial) -> None:
    app = trial.app_with_views()
    trial.database.connection.rows(TEN)

    def chunks() -> Iterator[str]:
        yield from trial.session.execute(text(MANY), execution_options={"yield_per": 10}).scalars()

    add_view(app, "/testbed/first", lambda: next(chunks()))
    add_view(app, "/testbed/stream", lambda: stream_with_context(chunks()))

    def disconnect() -> str:
        with served(app, "/testbed/stream") as body:
            return next(body).decode()

    ways: dict[str, Callable[[], Any]] = {
        "a request that read one row of many": lambda: get(app, "/testbed/first"),
        "a stream whose client disconnected after one row of many": disconnect,
    }
    for way, work in ways.items():
        task = Task(work)
        if not task.ended.wait(UNREAD):
            trial.database.terminate(trial.database.sessions())
            task.ended.wait(WITHIN)
            pytest.fail(f"{way} did not end within {UNREAD:g} s: it reads the rows that nothing needs")
        found = task.result()
        assert found in set("0123456789"), f"{way} returned {found}"
        trial.assert_nothing_open(way)
        found = len(get(app, "/testbed/names"))
        assert found == 10, f"after {way}, the next request read {found} rows of ten"


@check("lifecycle.held-stream")
def test_held_stream(trial: Trial) -> None:
    app = trial.app_with_views()

    def chunks() -> Iterator[str]:
        while True:
            one = trial.session.scalar(text("SELECT 1"))
            # The session stays, but no transaction, which could be SQLite's only writer.
            trial.session.commit()
            yield f"{one}"

    add_view(app, "/testbed/stream", lambda: stream_with_context(chunks()))

    def work() -> None:
        with served(app, "/testbed/stream") as body:
            assert next(body) == b"1", "the streamed body has no session"
            assert get(app, "/testbed/write") == "written"
            found = get(app, "/testbed/names")
            assert found == trial.committed(), (
                f"a request reads the uncommitted rows of one that has ended: {found}"
            )

    # In a thread of its own, like a server's worker: contexts that stay pushed there affect no other check.
    Task(work).result(3 * WITHIN)
    trial.assert_nothing_open()


@check("lifecycle.failing-teardown")
def test_failing_teardown(trial: Trial) -> None:
    app = trial.app_with_views()
    app.teardown_appcontext(fail)
    with odd_errors_suppressed():
        get(app, "/testbed/write")
    app.teardown_appcontext_funcs.remove(fail)

    trial.assert_nothing_open()


@check("lifecycle.used-in-teardown")
def test_used_in_teardown(trial: Trial) -> None:
    app = trial.app_with_views()

    def use(*_: object, **__: object) -> None:
        # A binding may refuse a session from some moment on.
        with contextlib.suppress(RuntimeError):
            trial.read()

    # Flask calls the last callback first. Those of a binding are between these two.
    ways: dict[str, Callable[[], object]] = {
        "the last teardown_appcontext callback": lambda: app.teardown_appcontext_funcs.append(use),
        "the first teardown_appcontext callback": lambda: app.teardown_appcontext_funcs.insert(0, use),
        "a teardown_request callback": lambda: app.teardown_request_funcs.setdefault(None, []).append(use),
        "a receiver of appcontext_tearing_down": lambda: appcontext_tearing_down.connect(use, app),
    }
    for way, register in ways.items():
        register()
        with app.app_context():
            trial.read()
        trial.assert_nothing_open(f"{way} used the session of a context")
        assert get(app, "/testbed/write") == "written"
        trial.assert_nothing_open(f"{way} used the session of a request")


@check("lifecycle.exit")
def test_exit(trial: Trial) -> None:
    app, errors = trial.app(), [SystemExit, KeyboardInterrupt, CancelledRequest]

    def leave() -> str:
        trial.write()
        raise errors[0]

    add_view(app, "/testbed/leave", leave)
    add_view(app, "/testbed/stream", lambda: stream_with_context(leave() for _ in range(1)))
    while errors:
        with contextlib.suppress(errors[0]), app.app_context():
            leave()
        trial.assert_nothing_open(f"{errors[0].__name__} ended a context")
        with contextlib.suppress(errors[0]):
            get(app, "/testbed/leave")
        trial.assert_nothing_open(f"{errors[0].__name__} ended a request")
        with contextlib.suppress(errors[0]):
            get(app, "/testbed/stream")
        trial.assert_nothing_open(f"{errors.pop(0).__name__} ended a stream")
    trial.assert_nothing_left()


@check("lifecycle.later-context")
def test_later_context(trial: Trial) -> None:
    app = trial.app()
    app.teardown_appcontext(fail)
    inherited = 0
    for _ in range(50):
        with odd_errors_suppressed(), app.app_context():
            session = session_of(trial.session)
            inherited += session.info.setdefault("used before", False)
            session.info["used before"] = True
            del session
    app.teardown_appcontext_funcs.remove(fail)
    gc.collect()

    assert inherited == 0, f"{inherited} of 50 contexts got the session of an earlier context"


@check("lifecycle.nested-contexts")
def test_nested_contexts(trial: Trial) -> None:
    app = trial.app()
    with app.app_context():
        item = Item(name="pending")
        trial.session.add(item)
        with app.app_context():
            trial.read()

        assert object_session(item) is not None, "the end of the inner context removed the outer session"
        trial.session.commit()
    found = trial.committed()
    assert found == ["pending"], f"the outer context committed {found}, not its pending row"


@check("lifecycle.request-inside-context")
def test_request_inside_context(trial: Trial) -> None:
    app = trial.app_with_views()
    with app.app_context():
        assert get(app, "/testbed/write") == "written"
        trial.write("outer")

    trial.assert_nothing_left()


@check("lifecycle.with-client")
def test_with_client(trial: Trial) -> None:
    app = trial.app_with_views()
    with client_of(app) as client:
        for _ in range(2):
            answer = ask_with(client, "/testbed/write")
            assert answer.value == "written", (
                f"a request of the test client was answered with {answer.failure}"
            )
            trial.assert_nothing_open()

    trial.assert_nothing_open()


@check("lifecycle.thread")
def test_thread(trial: Trial) -> None:
    app = trial.app()

    def work() -> None:
        with app.app_context():
            trial.write()

    # The pool's thread stays alive after the work.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(work).result(WITHIN)

        trial.assert_nothing_left()


@check("lifecycle.cli-command")
def test_cli_command(trial: Trial) -> None:
    app = trial.app()

    @app.cli.command("testbed-write")
    def command() -> None:
        trial.write()

    # With its traceback, an error of the app names the line that raised it.
    ran = app.test_cli_runner().invoke(args=["testbed-write"], catch_exceptions=False)
    assert trial.written, f"the command wrote no row: its output is {ran.output!r}"
    trial.assert_nothing_left()


@check("lifecycle.failed-flush")
def test_failed_flush(trial: Trial) -> None:
    app = trial.app_with_views()

    @route(app, "/testbed/twice")
    def twice() -> str:
        trial.write("once")
        with pytest.raises(IntegrityError):
            trial.write("once")
        return "swallowed"

    get(app, "/testbed/twice")
    for _ in range(2):
        found = get(app, "/testbed/names")
        assert found == [], f"after a failed flush in one request, a later request returned {found}"
        trial.assert_nothing_open()


@check("lifecycle.error-handler")
def test_error_handler(trial: Trial) -> None:
    app = trial.app()

    def handle(_: Exception) -> list[str]:
        trial.session.rollback()
        return trial.read()

    add_error_handler(app, DBAPIError, handle)

    @route(app, "/testbed/broken")
    def broken() -> str:
        trial.write()
        trial.session.execute(text("SELECT nothing FROM nowhere"))
        return "executed"

    found = handled(trial, app, "/testbed/broken")
    assert found == [], f"the error handler could not use the session after its rollback: {found}"
    trial.assert_nothing_open()


@check("lifecycle.detached")
def test_detached(trial: Trial) -> None:
    app = trial.app()
    kept = []

    @route(app, "/testbed/keep")
    def keep() -> str:
        kept.append(trial.commit("kept"))
        return "kept"

    assert get(app, "/testbed/keep") == "kept"
    assert inspect(kept[0]).detached, "the request has ended, and its object is still in a session"
    with pytest.raises(DetachedInstanceError):
        kept[0].parts  # noqa: B018 - reading the attribute would emit SQL


@check("lifecycle.handled-error")
def test_handled_error(trial: Trial) -> None:
    app = trial.app()
    # Its status says that the request failed: an app may commit those that succeed.
    add_error_handler(app, OddError, lambda _: ("handled", ERROR))

    @route(app, "/testbed/half")
    def half() -> str:
        trial.write("half")
        raise OddError

    assert handled(trial, app, "/testbed/half") == "handled"
    found = trial.committed()
    assert found == [], f"rows that the request wrote before its error were committed: {found}"


@check("lifecycle.own-session")
def test_own_session(trial: Trial) -> None:
    app = trial.app()
    sessions: list[Session] = []
    together = threading.Barrier(2)

    @route(app, "/testbed/session/<int:parties>")
    def view(parties: int) -> str:
        sessions.append(session_of(trial.session))
        if parties > 1:
            # The app may have used the session before its view, and have one connection for both requests.
            trial.session.rollback()
            together.wait(WITHIN)
        return "seen"

    def request(parties: int) -> None:
        assert get(app, f"/testbed/session/{parties}") == "seen"

    request(1)
    request(1)
    at_once(*[lambda: request(2)] * 2, within=2 * WITHIN)

    found = len({id(session) for session in sessions})
    assert found == len(sessions), f"{len(sessions)} requests used {found} sessions"


@contextlib.contextmanager
def gevent_worker(trial: Trial, folder: Path, query: str = "") -> Iterator[Workers]:
    """Serve an app with the views of `greenlets` in a gevent worker; `query` is the one that waits."""
    address = address_of(trial.app())
    environment = environment_of(trial.subject, trial.database.uri, trial.bind_uris, query, address)
    with workers(GREENLETS, environment, log := folder / "gunicorn.log") as worker:
        assert "error" not in (answer := worker.ask(REPORT, FIRST_WITHIN)), (
            f"the worker does not answer: {answer}\n{redact(log.read_text())[-2000:]}"
        )
        yield worker


@check("lifecycle.gevent")
def test_gevent(trial: Trial, tmp_path: Path) -> None:
    def send(kind: str) -> tuple[str, bytes]:
        return worker.send(f"{SESSIONS}/{kind}", 2 * WITHIN, hang_up=kind == HANG_UP)

    def read() -> None:
        with app.app_context():
            trial.session.scalar(text("SELECT 1"))
            trial.session.rollback()

    app = trial.app()
    with app.app_context():
        trial.session.scalar(text("SELECT 1"))
        try:
            Task(read).result()
        except (DBAPIError, TimeoutError):
            trial.not_applicable("each transaction of this app keeps out all others, as BEGIN IMMEDIATE does")
        finally:
            trial.session.rollback()
    with gevent_worker(trial, tmp_path) as worker:
        # The second time, the pool has connections that the first requests have used.
        for before in (0, AT_ONCE):
            answers = at_once(*[partial(send, kind) for kind in KINDS], within=3 * WITHIN)
            # A worker notices later that a client has hung up.
            poll(lambda: worker.ask(REPORT).get("in_use") == 0)
            report = worker.ask(REPORT)
            noted, in_use = report["noted"][before:], report["in_use"]
            assert len(noted) == AT_ONCE, (
                f"{len(noted)} of {AT_ONCE} requests used the session at once: {answers}"
            )
            found = len({one["session"] for one in noted})
            assert found == AT_ONCE, f"{AT_ONCE} requests at once used {found} session{'s' * (found > 1)}"
            changed = [one["kind"] for one in noted if not one["is_kept"]]
            assert not changed, f"a request had another session after another request ran: {changed}"
            assert not in_use, f"connections in use after the requests ({', '.join(KINDS)}): {in_use}"
            left = trial.database.left_open()
            assert not left, f"open on the server after the requests: {', '.join(map(str, left))}"


@check("lifecycle.gevent-waits")
def test_gevent_waits(trial: Trial, tmp_path: Path) -> None:
    def wait(parties: int) -> None:
        answer = worker.send(f"{WAITS}/{parties}", 2 * WITHIN)
        assert answer == ("status 200", b"waited"), f"the request that waits was answered with {answer}"

    with gevent_worker(trial, tmp_path, trial.of(SLEEP)) as worker:
        wait(1)
        if not worker.ask(REPORT)["noted"][0]["yields"]:
            driver = trial.engine(trial.app()).driver
            trial.not_applicable(f"{driver} does not yield to gevent: each wait stops the whole worker")
        at_once(*[partial(wait, AT_ONCE)] * AT_ONCE, within=3 * WITHIN)
        ended = [one["ended"] for one in worker.ask(REPORT)["noted"][1:]]

    apart = max(ended) - min(ended)
    one_after_another = 0.95 * SLEEP_SECONDS * (AT_ONCE - 1)
    assert apart < one_after_another, (
        f"{AT_ONCE} requests that began at once, and wait {SLEEP_SECONDS:g} s, ended {apart:.1f} s apart"
    )


@check("lifecycle.clean-connection")
def test_clean_connection(trial: Trial) -> None:
    app, statement = trial.app(), [""]

    def execute() -> str:
        result = trial.session.execute(text(statement[0]))
        rows = [*map(tuple, result)] if result.returns_rows else []
        trial.session.commit()
        return str(rows)

    def answer(asked: str) -> str:
        statement[0] = asked
        return str(get(app, "/testbed/execute"))

    add_view(app, "/testbed/execute", execute)
    left = []
    for leave, look in trial.of(LEFT_ON_CONNECTION).items():
        before = answer(look)
        answer(leave)
        after = answer(look)
        if after != before:
            left.append(f"after {leave!r}, {look!r} has the result {after} and had {before}")
    assert not left, f"the next request gets what a request left on its connection: {'; '.join(left)}"


@check("lifecycle.no-stale-object")
def test_no_stale_object(trial: Trial) -> None:
    found = read_twice(trial, lambda: trial.session.scalars(select(Item)).one())

    assert found == ["old", "new"], f"the name was changed to 'new' between two requests, which read {found}"
