"""Check which requests fail with the database, and that later requests succeed."""

import contextlib
import math
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event, insert, select, text, update
from sqlalchemy.engine import Engine
from sqlalchemy.engine.interfaces import DBAPIConnection, ExceptionContext
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from flask_sqlalchemy_testbed.backends.base import Backend
from flask_sqlalchemy_testbed.backends.connection import Connection
from flask_sqlalchemy_testbed.backends.replication import REPLICATION
from flask_sqlalchemy_testbed.battery.gates import Port, gate_to
from flask_sqlalchemy_testbed.battery.obstacles import Witness, in_turn
from flask_sqlalchemy_testbed.battery.own_pair import OwnPair
from flask_sqlalchemy_testbed.battery.own_server import OwnServer, OwnServers, lent
from flask_sqlalchemy_testbed.battery.pools import limit_wait, limited_to, most_connections
from flask_sqlalchemy_testbed.battery.requests import ERROR, OK, Answer, add_view, ask, route
from flask_sqlalchemy_testbed.battery.tables import OLD_ITEM, Item
from flask_sqlalchemy_testbed.battery.threads import WITHIN, Task, at_once, poll
from flask_sqlalchemy_testbed.battery.trial import CONNECTIONS, Trial
from flask_sqlalchemy_testbed.checks.causes import HAS_OPTION
from flask_sqlalchemy_testbed.checks.check import check
from flask_sqlalchemy_testbed.databases import Database
from flask_sqlalchemy_testbed.servers.network import NetworkServer
from flask_sqlalchemy_testbed.subject.raised import caller_in_app

MEGABYTE = 1 << 20
# Seconds within which a request to a silent server must fail; the limits below are a second or two.
BOUND = 10.0
# Seconds after which the driver gives up waiting for a lock. InnoDB looks for expired waits once a second;
# each new wait on the server begins that second again: beside two others, a wait limited to 1 s took 2.9 s.
ANSWER_SECONDS = 8
# Writes before a failover.
SOME = 10

# The server terminates the session soon after it becomes idle, or idle in a transaction.
END_WHEN_IDLE = {"postgresql": "SET idle_session_timeout = '100ms'", "mysql": "SET SESSION wait_timeout = 1"}
END_IDLE_TRANSACTION = {
    "postgresql": "SET idle_in_transaction_session_timeout = '100ms'",
    "mysql": "SET SESSION wait_timeout = 1",
}
# Queries that take long, and the same with a time limit of 100 ms.
SLOW = {
    "postgresql": "SELECT count(pg_sleep(30))",
    "mysql": "SELECT count(*) FROM information_schema.columns a, information_schema.columns b,"
    " information_schema.columns c",
}
CUT_OFF = {
    "postgresql": ("SET statement_timeout = 100", SLOW["postgresql"]),
    "mysql": ("SELECT 1", SLOW["mysql"].replace("SELECT", "SELECT /*+ MAX_EXECUTION_TIME(100) */", 1)),
    "mariadb": ("SELECT 1", f"SET STATEMENT max_statement_time = 0.1 FOR {SLOW['mysql']}"),
}
# Statements that make a server read-only, as a demoted primary is; those that undo it; and a query for it.
READ_ONLY = {
    "postgresql": (
        ("ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()"),
        ("ALTER SYSTEM RESET default_transaction_read_only", "SELECT pg_reload_conf()"),
        "SHOW default_transaction_read_only",
    ),
    "mysql": (
        ("SET GLOBAL super_read_only = ON",),
        ("SET GLOBAL super_read_only = OFF", "SET GLOBAL read_only = OFF"),
        "SELECT @@super_read_only",
    ),
    "mariadb": (("SET GLOBAL read_only = ON",), ("SET GLOBAL read_only = OFF",), "SELECT @@read_only"),
}
# The kinds of locks: the variable with the server's limit for a wait, in seconds, and statements that lock.
# A transaction that an app leaves open after the first wait would hold up LOCK TABLES.
LOCKS = {
    "mysql": {
        "table": ("lock_wait_timeout", ("LOCK TABLES testbed_item WRITE",)),
        "row": ("innodb_lock_wait_timeout", ("BEGIN", "UPDATE testbed_item SET name = 'first'")),
    }
}
# By the kind of lock: statements that take it, and the limits for a wait. A limit is a query for its seconds,
# which are 0 if there is none, and a statement that shortens it.
POSTGRESQL_LIMITS = tuple(
    (f"SELECT max(setting::int) / 1000.0 FROM pg_settings WHERE name = '{name}'", f"SET {name} = '200ms'")  # noqa: S608
    for name in ("lock_timeout", "statement_timeout", "transaction_timeout")
)
WAITS: dict[str, dict[str, tuple[Sequence[str], Sequence[tuple[str, str]]]]] = {
    "postgresql": {
        "table": (("BEGIN", "LOCK TABLE testbed_item"), POSTGRESQL_LIMITS),
        "row": (("BEGIN", "UPDATE testbed_item SET name = 'first'"), POSTGRESQL_LIMITS),
    },
    "mysql": {
        kind: (hold, [(f"SELECT @@{limit}", f"SET {limit} = 1")])
        for kind, (limit, hold) in LOCKS["mysql"].items()
    },
}
# Seconds; for a request a longer limit is none.
LONGEST_WAIT = 300
# The drivers' options that limit waiting, in their own units, with the highest values used here. On a busy
# machine a request that succeeds may take longer.
LIMITS: dict[str, dict[str, float]] = {
    "postgresql": {"connect_timeout": 2, "tcp_user_timeout": 500},
    "mysql": {"connect_timeout": 1, "read_timeout": 0.5, "write_timeout": 0.5},
}
# The size of the server's own files in the image, and 64 MB for the checks.
ROOM = {"postgresql": (40 + 64) * MEGABYTE, "mysql": (141 + 64) * MEGABYTE}
# MySQL's server aborts if its redo log cannot grow: a small one has its full size from the beginning.
SMALL = {"postgresql": (), "mysql": ("--innodb-redo-log-capacity=32M",)}
# The table that the checks fill. Unlogged, it leaves room for the log, without which PostgreSQL stops.
BALLAST = {
    "sqlite": "CREATE TABLE testbed_ballast (id INTEGER PRIMARY KEY, data BLOB)",
    "postgresql": "CREATE UNLOGGED TABLE testbed_ballast (id SERIAL PRIMARY KEY, data BYTEA)",
    "mysql": "CREATE TABLE testbed_ballast (id INTEGER AUTO_INCREMENT PRIMARY KEY, data LONGBLOB)",
}


class Base(DeclarativeBase):
    """Metadata of which no table is created."""


class Ballast(Base):
    """A large row."""

    __tablename__ = "testbed_ballast"

    id: Mapped[int] = mapped_column(primary_key=True)
    data: Mapped[bytes]


@pytest.fixture
def app(trial: Trial) -> Flask:
    """Return an app whose view `/testbed/names` reads the database."""
    return trial.app_with_views()


def status(app: Flask, path: str = "/testbed/names", answer: Answer | None = None) -> int:
    """Return 200 if the view returned; else the status that a client gets, which is at least 500.

    An app may have pages of its own for errors, with another status. A server also answers 500 if a teardown
    callback raises.

    Args:
        app: An app with a view at the path.
        path: The path of the view.
        answer: The answer to fill in; a new one by default.
    """
    try:
        answer = ask(app, path, answer)
    except DBAPIError:
        return ERROR
    return OK if answer.is_success else max(ERROR, answer.code)


def failure(app: Flask, path: str = "/testbed/names") -> str:
    """Return the status of a failed request and its cause; empty if the view returned."""
    answer, cause = Witness(app).answer(path)
    return "" if answer.is_success else f"{answer.code} ({answer.error or cause})"


def assert_answers(app: Flask, times: int = 1, *, having: str = "") -> None:
    failures = [found for found in (failure(app) for _ in range(times)) if found]
    assert not failures, (
        f"{len(failures)} of {times} later requests failed, the first with {failures[0]}{having}"
    )


def pre_ping(engine: Engine) -> str:
    """Return a clause for failures that `pool_pre_ping` prevents, if the engine has it; else an empty string.

    The report then names another cause.
    """
    return f"; {HAS_OPTION} pool_pre_ping=True" if getattr(engine.pool, "_pre_ping", False) else ""


def note_functions(engine: Engine) -> dict[str, None]:
    """Return the functions of the app that get errors of the driver, to which later errors add theirs."""
    found: dict[str, None] = {}

    def note(_: ExceptionContext) -> None:
        if function := caller_in_app():
            found[function] = None

    event.listen(engine, "handle_error", note)
    return found


def who_got(functions: Iterable[str]) -> str:
    """Return a clause on the functions that may have swallowed an error; empty for none."""
    names = ", ".join(functions)
    return f"; these functions of the app got the errors: {names}" if names else ""


def wait_until(condition: Callable[[], Any]) -> None:
    if not poll(condition):
        message = f"Condition not met within {WITHIN:g} s."
        raise TimeoutError(message)


def end_sessions(database: Database) -> None:
    """Terminate all sessions, as an administrator or a firewall would, and wait for their end."""
    database.terminate(database.sessions())
    wait_until(lambda: not database.sessions())


@contextlib.contextmanager
def shortened_limits(trial: Trial, app: Flask) -> Iterator[None]:
    """Shorten the time limits of connections that the app opens meanwhile; add no limit."""
    engine = trial.engine(app)

    def connect(_dialect: object, _record: object, _args: object, options: dict[str, Any]) -> None:
        for name, most in trial.of(LIMITS).items():
            if options.get(name):
                options[name] = min(type(most)(options[name]), most)

    event.listen(engine, "do_connect", connect)
    try:
        yield
    finally:
        event.remove(engine, "do_connect", connect)


@check("faults.lost-between-requests")
def test_lost_between_requests(trial: Trial, app: Flask) -> None:
    lost = trial.use_connections(app)
    end_sessions(trial.database)

    assert_answers(app, lost + 1, having=pre_ping(trial.engine(app)))
    trial.use_connections(app)


@check("faults.restart")
def test_restart(own_trial: Trial, own_server: OwnServer) -> None:
    app = own_trial.app_with_views()
    lost = own_trial.use_connections(app)
    own_server.restart(own_server.kill)

    assert_answers(app, lost + 1, having=pre_ping(own_trial.engine(app)))


@check("faults.swallowed-loss")
def test_swallowed_loss(trial: Trial, app: Flask) -> None:
    @route(app, "/testbed/swallow")
    def swallow() -> str:
        trial.session.execute(select(Item.id))
        end_sessions(trial.database)
        with pytest.raises(DBAPIError):
            trial.session.execute(select(Item.id))
        return ""

    found = failure(app, "/testbed/swallow")
    assert not found, f"the request that swallowed its error was answered with {found}"
    assert_answers(app)


@check("faults.lost-in-transaction")
def test_lost_in_transaction(trial: Trial, app: Flask) -> None:
    @route(app, "/testbed/two")
    def two() -> str:
        trial.session.execute(insert(Item).values(name="first"))
        end_sessions(trial.database)
        trial.session.execute(insert(Item).values(name="second"))
        trial.session.commit()
        return ""

    found = status(app, "/testbed/two")
    assert found >= ERROR, f"the request that lost its transaction was answered with {found}"
    assert trial.committed() == [], f"the failed request committed {trial.committed()}"
    assert_answers(app)


@check("faults.idle-timeout")
def test_idle_timeout(trial: Trial, app: Flask) -> None:
    # Set by the session, it would be reset by a binding that resets what its users leave. Set before the
    # request, it could end the connection between two statements.
    ending: set[str] = set()

    @event.listens_for(trial.engine(app), "checkin")
    def returned(connection: DBAPIConnection | None, _: object) -> None:
        if connection is not None:
            cursor = connection.cursor()
            cursor.execute(REPLICATION[trial.backend].session)
            ending.update(map(str, cursor.fetchone() or ()))
            cursor.execute(trial.of(END_WHEN_IDLE))
            connection.commit()

    assert_answers(app)
    assert ending, "a request has ended, and its connection was not returned to the pool"
    # Apps of earlier checks may keep connections.
    wait_until(lambda: not ending.intersection(trial.database.sessions()))

    assert_answers(app, having=pre_ping(trial.engine(app)))


@check("faults.held-too-long")
def test_held_too_long(trial: Trial, app: Flask) -> None:
    @route(app, "/testbed/hold")
    def hold() -> str:
        own = str(trial.session.scalar(text(REPLICATION[trial.backend].session)))
        trial.session.execute(text(trial.of(END_IDLE_TRANSACTION)))
        wait_until(lambda: own not in trial.database.sessions())
        return str(trial.read())

    found = status(app, "/testbed/hold")
    assert found >= ERROR, f"the request that lost its transaction was answered with {found}"
    assert_answers(app)


@pytest.fixture
def new_primary(
    own_server: OwnServer, testbed_server: NetworkServer, testbed_schema: Callable[[str], None]
) -> Iterator[Database]:
    """Return an empty database on the run's server, named as that on the own server."""
    testbed_server.create(own_server.name)
    database = Database.on(testbed_server, own_server.name)
    testbed_schema(database.uri)
    yield database
    database.connection.close()
    testbed_server.drop(own_server.name)


@check("faults.demoted-primary")
def test_demoted_primary(
    own_trial: Trial, own_server: OwnServer, new_primary: Database, tmp_path: Path
) -> None:
    demote, promote, query = own_trial.of(READ_ONLY)
    names = count()
    own_trial.log_in(new_primary)
    with gate_to(own_server.database, tmp_path) as gate:
        assert isinstance(gate, Port)
        gate.open()
        demoted = own_trial.app(gate.uri)
        add_view(demoted, "/testbed/commit", lambda: own_trial.commit(f"{next(names)}").name)

        def is_read_only() -> bool:
            # A session that nothing ends would keep its connection until the garbage collector comes.
            with demoted.app_context(), own_trial.session.get_bind().connect() as connection:
                found = connection.scalar(text(query))
                together.wait()
            return str(found) in {"on", "1"}

        number, functions = own_trial.use_connections(demoted), note_functions(own_trial.engine(demoted))
        together = threading.Barrier(number, timeout=WITHIN)
        try:
            own_server.administer(*demote)
            # PostgreSQL's sessions learn of it one by one.
            wait_until(lambda: all(at_once(*[is_read_only] * number)))
            gate.lead_to(new_primary)
            failures = [failure(demoted, "/testbed/commit") for _ in range(2 * number)]
        finally:
            own_server.administer(*promote)
        own_trial.engine(demoted).dispose()

    statuses = [int(found.partition(" ")[0] or OK) for found in failures]
    later, written = statuses[number:], own_trial.committed(new_primary)
    assert later == [OK] * number, (
        f"{number} connections led to the demoted primary, and the requests got {in_turn(failures)}"
    )
    assert len(written) == statuses.count(OK), (
        f"of the answers {in_turn(failures)}, the new primary has {written}{who_got(functions)}"
    )


@check("faults.failover")
def test_failover(pair_trial: Trial, own_pair: OwnPair, tmp_path: Path) -> None:
    names, enough = count(), threading.Event()
    answered: list[str] = []
    with gate_to(own_pair.database, tmp_path) as gate:
        assert isinstance(gate, Port)
        gate.open()
        app = pair_trial.app(gate.uri)
        add_view(app, "/testbed/commit", lambda: pair_trial.commit(f"{next(names)}").name)

        def commit() -> bool:
            try:
                answer = ask(app, "/testbed/commit")
            except DBAPIError:
                return False
            if answer.is_success:
                answered.append(str(answer.value))
            return answer.is_success

        def commit_often() -> None:
            ends = time.monotonic() + WITHIN
            while not enough.wait(0.01) and time.monotonic() < ends:
                commit()

        number, functions = pair_trial.use_connections(app), note_functions(pair_trial.engine(app))
        clients = [Task(commit_often) for _ in range(number)]
        try:
            wait_until(lambda: len(answered) >= SOME)
            own_pair.fail_over()
            gate.lead_to(own_pair.standby)
        finally:
            enough.set()
            for client in clients:
                client.result(2 * WITHIN)
        first = [commit() for _ in range(2 * number)]
        own_pair.kill_primary()
        last = [commit() for _ in range(number)]
        pair_trial.engine(app).dispose()

    stored = pair_trial.committed(own_pair.standby)
    lost = [name for name in answered if name not in stored]
    assert all([*first[number:], *last]), (
        f"{number} connections led to the old primary; requests succeeded after the failover: {first};"
        f" after the end of the old primary: {last}"
    )
    assert not lost, (
        f"the new primary lacks {len(lost)} of {len(answered)} writes that the app answered with success"
        f"{who_got(functions)}"
    )
    assert len(stored) == len(set(stored)), "the new primary has a write twice"


@check("faults.lock-wait")
def test_lock_wait(trial: Trial, connect: Callable[[], Connection], testbed_backend: Backend) -> None:
    app, limits, waits = trial.app(), [0.0], [""]

    def shorten(_dialect: object, _record: object, _args: object, options: dict[str, Any]) -> None:
        limits[0] = options.get("read_timeout") or limits[0]
        if options.get("read_timeout"):
            options["read_timeout"] = ANSWER_SECONDS

    event.listen(trial.engine(app), "do_connect", shorten)

    @route(app, "/testbed/wait/<limit>")
    def wait(limit: str) -> str:
        seconds = trial.session.scalar(text(f"SELECT @@{limit}"))
        # Of both limits, the one that is shorter stays the shorter one.
        ends_first = not limits[0] or seconds < limits[0]
        trial.session.execute(text(f"SET {limit} = {1 if ends_first else 2 * ANSWER_SECONDS}"))
        waits.append(limit)
        trial.session.execute(update(Item).values(name="second"))
        return ""

    trial.database.connection.rows(OLD_ITEM)
    for kind, (limit, hold) in trial.of(LOCKS).items():
        holder = connect()
        holder.run(hold)
        found = status(app, f"/testbed/wait/{limit}")
        sessions = [line for (line,) in trial.database.connection.rows(testbed_backend.activity)]
        # A transaction that was left open, and waits no longer, is a leak and not this failure.
        waiting = [line for line in sessions if "second" in line and "WANTS" in line]
        holder.close()

        assert waits[-1] == limit, f"the request did not come to its update of a locked {kind}"
        assert found >= ERROR, f"the request that waited for a locked {kind} was answered with {found}"
        assert waiting == [], (
            f"the request that waited for a locked {kind} has ended, its statement has not: {waiting[0]}"
        )


@check("faults.endless-wait")
def test_endless_wait(trial: Trial, connect: Callable[[], Connection]) -> None:
    app = trial.app()

    @route(app, "/testbed/wait/<kind>")
    def wait(kind: str) -> str:
        for query, shorten in trial.of(WAITS)[kind][1]:
            if 0 < (trial.session.scalar(text(query)) or 0) <= LONGEST_WAIT:
                trial.session.execute(text(shorten))
        trial.session.execute(update(Item).values(name="second"))
        return ""

    trial.database.connection.rows(OLD_ITEM)
    for kind, (hold, _) in trial.of(WAITS).items():
        holder = connect()
        holder.run(hold)
        with shortened_limits(trial, app):
            request = Task(lambda kind=kind: status(app, f"/testbed/wait/{kind}"))  # type: ignore[misc]
            in_time = request.ended.wait(BOUND)
            holder.close()
            request.result()

        assert in_time, (
            f"nothing limits the wait of a request for a locked {kind} to {LONGEST_WAIT} s or less"
        )


@check("faults.stopped-mid-query")
def test_stopped_mid_query(own_trial: Trial, own_server: OwnServer, testbed_backend: Backend) -> None:
    app = own_trial.app_with_views()
    add_view(app, "/testbed/slow", lambda: str(own_trial.session.scalar(text(own_trial.of(SLOW)))))

    def work() -> tuple[int, str]:
        first = status(app, "/testbed/slow")
        again.wait()
        return first, failure(app)

    def is_slow() -> bool:
        rows = own_server.database.connection.rows(testbed_backend.activity)
        return any("count(" in str(row) for row in rows)

    again = threading.Event()
    task = Task(work)
    try:
        wait_until(is_slow)
        # On a busy machine the server is killed, which the drivers report in another way than a stop.
        own_server.restart(own_server.stop)
    finally:
        again.set()
    first, later = task.result()

    assert first >= ERROR, f"the request whose query was interrupted was answered with {first}"
    assert not later, (
        f"the server is running again, and the next request failed with {later}"
        f"{pre_ping(own_trial.engine(app))}"
    )


def fail_in_time(
    trial: Trial, server: OwnServer, silence: Callable[[], None], uri: str | None = None
) -> Flask:
    """Fail the check unless a request without an answer fails in bounded time."""
    app = trial.app_with_views(uri)
    with shortened_limits(trial, app):
        wait_until(lambda: status(app) == OK)
        silence()
        try:
            found = Task(lambda: status(app)).result(BOUND)
        finally:
            server.mend()
    assert found >= ERROR, f"while the server did not answer, a request was answered with {found}"
    return app


@check("faults.half-open")
def test_half_open(own_trial: Trial, own_server: OwnServer) -> None:
    fail_in_time(own_trial, own_server, own_server.cut, own_server.direct_uri)


@check("faults.paused")
def test_paused(own_trial: Trial, own_server: OwnServer) -> None:
    assert_answers(fail_in_time(own_trial, own_server, own_server.pause))


@check("faults.statement-timeout")
def test_statement_timeout(trial: Trial, app: Flask) -> None:
    limit, slow = trial.of(CUT_OFF)
    with app.app_context():
        trial.session.execute(text(limit))
        with pytest.raises(DBAPIError) as error:
            trial.session.execute(text(slow))
        trial.session.rollback()

        assert trial.session.scalar(text("SELECT 1")) == 1
    assert not error.value.connection_invalidated, "after the timeout, a working connection was discarded"


def _first_failure(answers: Iterable[Answer]) -> str:
    """Return a clause on the first request of those answered that failed; empty if there is none."""
    failures = (answer.failure for answer in answers if answer.status and not answer.is_success)
    found = next(failures, "")
    return f": one was answered with {found}" if found else ""


@check("faults.pool-exhausted")
def test_pool_exhausted(trial: Trial, app: Flask) -> None:
    engine = trial.engine(app)
    # A pool without a limit cannot be exhausted, and passes.
    most = trial.connections(app, CONNECTIONS if math.isinf(most_connections(engine)) else 20)
    has_one, done = threading.Semaphore(0), threading.Event()
    # Shortened, so that the check does not take up to a minute; a longer wait is a failure.
    limit_wait(engine, 0.2, unless_over=60)

    @route(app, "/testbed/hold")
    def hold() -> str:
        # The app may have used the session before its view: a request has one connection here.
        trial.session.rollback()
        # Without a transaction, which could be SQLite's only writer.
        with trial.session.get_bind().connect():
            has_one.release()
            done.wait(2 * WITHIN)
        return ""

    with limited_to(engine, most):
        answers = [Answer() for _ in range(most)]
        holders = [Task(partial(status, app, "/testbed/hold", answer)) for answer in answers]
        try:
            assert all(has_one.acquire(timeout=WITHIN) for _ in holders), (
                f"the pool is for {most} connections, and not all of {most} simultaneous requests got one"
                f"{_first_failure(answers)}"
            )
            began = time.monotonic()
            assert Task(lambda: status(app)).result() in {200, 500, 503}
            took = time.monotonic() - began
            assert took < WITHIN, (
                f"the request that found the pool empty took {took:.1f} s, or the machine was busy"
            )
        finally:
            done.set()
        found = {holder.result() for holder in holders}
        assert found == {OK}, f"requests that had got a connection failed{_first_failure(answers)}"
    trial.assert_nothing_open()
    trial.use_connections(app, most)


def fill(trial: Trial, app: Flask, size: int, prepare: str = "SELECT 1") -> None:
    """Write rows of `size` bytes until a request fails because the database is full."""

    @route(app, "/testbed/fill")
    def write() -> str:
        trial.session.execute(text(prepare))
        trial.session.add(Ballast(data=os.urandom(size)))
        trial.session.commit()
        return ""

    first = failure(app, "/testbed/fill")
    assert not first, f"with room for its row, the first request was answered with {first}"
    statuses = [OK]
    while statuses[-1] == OK and len(statuses) < 100:
        statuses.append(status(app, "/testbed/fill"))

    assert statuses[-1] >= ERROR, f"{len(statuses)} requests wrote to a full database, and none failed"
    trial.assert_nothing_open()
    assert_answers(app)


def assert_writes_again(trial: Trial, app: Flask, prepare: str = "SELECT 1") -> None:
    with app.app_context():
        trial.session.execute(text(prepare))
        trial.commit("there is room")

    found = trial.committed()
    assert found == ["there is room"], f"after the database got room again, it contains {found}"


@pytest.fixture
def small_trial(
    request: pytest.FixtureRequest, own_servers: OwnServers, testbed_backend: Backend
) -> Iterator[Trial]:
    """Return the app under test on a server with little space, which only this check uses."""
    flags, size = testbed_backend.of(SMALL), testbed_backend.of(ROOM)
    with lent(request, own_servers(flags, size)) as own:
        trial = Trial(request, own.database)
        yield trial
        trial.end()


@check("faults.disk-full")
@pytest.mark.testbed_within(60)
def test_disk_full(small_trial: Trial) -> None:
    app, connection = small_trial.app_with_views(), small_trial.database.connection
    connection.rows(small_trial.of(BALLAST))
    fill(small_trial, app, 4 * MEGABYTE)

    connection.rows("DROP TABLE testbed_ballast")
    assert_writes_again(small_trial, app)


@check("faults.file-full")
def test_file_full(trial: Trial, app: Flask) -> None:
    trial.database.connection.rows(trial.of(BALLAST))
    fill(trial, app, MEGABYTE // 4, "PRAGMA max_page_count = 400")

    assert_writes_again(trial, app, "PRAGMA max_page_count = 1000000")
