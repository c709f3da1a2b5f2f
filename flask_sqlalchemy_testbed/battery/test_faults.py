"""When the database fails: who is told, and that all is well again when the database is."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event, insert, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from flask_sqlalchemy_testbed.battery.own_server import lent
from flask_sqlalchemy_testbed.battery.tables import Item
from flask_sqlalchemy_testbed.battery.threads import WITHIN, Task, at_once
from flask_sqlalchemy_testbed.checks.check import check

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flask import Flask
    from flask.testing import FlaskClient

    from flask_sqlalchemy_testbed.backends.base import Backend
    from flask_sqlalchemy_testbed.battery.conftest import Trial
    from flask_sqlalchemy_testbed.battery.own_server import OwnServer, OwnServers
    from flask_sqlalchemy_testbed.databases import Database

# How many connections a pool has at least, by default.
CONNECTIONS = 3
ERROR = 500
MEGABYTE = 1 << 20
# No request may be held up for longer by a server that does not answer, when every limit is a second or two.
BOUND = 8.0

# What makes the server end this session when it has been idle for a while, and the same in a transaction.
END_WHEN_IDLE = {
    "postgresql": "SET idle_session_timeout = '100ms'",
    "mysql": "SET SESSION wait_timeout = 1",
}
END_IDLE_TRANSACTION = {
    "postgresql": "SET idle_in_transaction_session_timeout = '100ms'",
    "mysql": "SET SESSION wait_timeout = 1",
}
# What takes long, and what the server cuts off after 100 ms.
SLOW = {
    "postgresql": "SELECT count(pg_sleep(30))",
    "mysql": "SELECT count(*) FROM information_schema.columns a, information_schema.columns b,"
    " information_schema.columns c",
}
CUT_OFF = {
    "postgresql": ("SET LOCAL statement_timeout = 100", SLOW["postgresql"]),
    "mysql": ("SELECT 1", SLOW["mysql"].replace("SELECT", "SELECT /*+ MAX_EXECUTION_TIME(100) */", 1)),
}
# Whether SQLAlchemy knows that the connection of a statement is lost when the server was stopped meanwhile.
STOP_IS_KNOWN_AS_LOSS = {"postgresql": True, "mysql": False}
# A driver's own limits, in its own units, and how short they are made here.
LIMITS: dict[str, dict[str, float]] = {
    "postgresql": {"connect_timeout": 2, "tcp_user_timeout": 500},
    "mysql": {"connect_timeout": 1, "read_timeout": 0.5, "write_timeout": 0.5},
}
# What the server needs for itself, as baked, with the 64 MB that are left for the checks.
ROOM = {"postgresql": (40 + 64) * MEGABYTE, "mysql": (141 + 64) * MEGABYTE}
# MySQL's server aborts where a file of its redo log grows when there is no room: all have grown before that.
SMALL = {"postgresql": (), "mysql": ("--innodb-redo-log-capacity=32M",)}
# A table to fill: whatever becomes of it, the log that PostgreSQL cannot live without has room.
BALLAST = {
    "sqlite": "CREATE TABLE testbed_ballast (id INTEGER PRIMARY KEY, data BLOB)",
    "postgresql": "CREATE UNLOGGED TABLE testbed_ballast (id SERIAL PRIMARY KEY, data BYTEA)",
    "mysql": "CREATE TABLE testbed_ballast (id INTEGER AUTO_INCREMENT PRIMARY KEY, data LONGBLOB)",
}


class Base(DeclarativeBase):
    """Metadata that nothing is created from."""


class Ballast(Base):
    """What fills a database."""

    __tablename__ = "testbed_ballast"

    id: Mapped[int] = mapped_column(primary_key=True)
    data: Mapped[bytes]


@pytest.fixture
def client(trial: Trial) -> FlaskClient:
    """A client of an app that answers `/testbed/ask` with what the database says."""
    return answering(trial, trial.app()).test_client()


def answering(trial: Trial, app: Flask) -> Flask:
    app.add_url_rule("/testbed/ask", view_func=lambda: str(len(trial.session.scalars(select(Item.id)).all())))
    return app


def ask(client: FlaskClient, path: str = "/testbed/ask") -> int:
    """The status that a server would send: what a teardown raises, after the view, is an error too."""
    try:
        return client.application.test_client().get(path).status_code
    except DBAPIError:
        return ERROR


def asked_at_once(trial: Trial, app: Flask, times: int) -> None:
    """So many contexts succeed, each of which has its connection when the last one gets its own."""
    together = threading.Barrier(times, timeout=WITHIN)

    def work() -> None:
        with app.app_context():
            trial.session.execute(select(Item.id))
            together.wait()

    at_once(*[work] * times)


def assert_answers(client: FlaskClient, times: int = 1) -> None:
    """So many requests, one after the other, succeed."""
    statuses = [ask(client) for _ in range(times)]
    failed = sum(status != 200 for status in statuses)
    assert not failed, f"{failed} of the next {times} requests failed: {statuses}"


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + WITHIN
    while not condition():
        if time.monotonic() > deadline:
            message = "It has not come to pass."
            raise TimeoutError(message)
        time.sleep(0.01)


def end_sessions(database: Database) -> None:
    """As an administrator would, or a firewall; they are gone when this returns."""
    database.terminate(database.sessions())
    until(lambda: not database.sessions())


def shorten_limits(trial: Trial, app: Flask, backend: Backend) -> None:
    """Make whatever limits the subject gives its connections so short that a check can wait for them."""

    def connect(_dialect: object, _record: object, _args: object, options: dict[str, Any]) -> None:
        for name, most in LIMITS[backend.name].items():
            if options.get(name):
                options[name] = min(type(most)(options[name]), most)

    event.listen(trial.engine(app), "do_connect", connect)


# --- Connections that are lost ----------------------------------------------------------------


@check("faults.lost-between-requests")
def test_lost_between_requests(trial: Trial, client: FlaskClient) -> None:
    asked_at_once(trial, client.application, CONNECTIONS)
    end_sessions(trial.database)

    assert_answers(client, CONNECTIONS + 1)
    asked_at_once(trial, client.application, CONNECTIONS)


@check("faults.restart")
def test_restart(own_trial: Trial, own_server: OwnServer) -> None:
    client = answering(own_trial, own_trial.app()).test_client()
    asked_at_once(own_trial, client.application, CONNECTIONS)
    own_server.kill()
    own_server.start()

    assert_answers(client, CONNECTIONS + 1)


@check("faults.swallowed-loss")
def test_swallowed_loss(trial: Trial, client: FlaskClient) -> None:
    @client.application.get("/testbed/swallow")
    def swallow() -> str:
        trial.session.execute(select(Item.id))
        end_sessions(trial.database)
        with pytest.raises(DBAPIError):
            trial.session.execute(select(Item.id))
        return ""

    assert ask(client, "/testbed/swallow") == 200, "the request that swallowed its error was told of another"
    assert_answers(client)


@check("faults.lost-in-transaction")
def test_lost_in_transaction(trial: Trial, client: FlaskClient) -> None:
    @client.application.get("/testbed/two")
    def two() -> str:
        trial.session.execute(insert(Item).values(name="first"))
        end_sessions(trial.database)
        trial.session.execute(insert(Item).values(name="second"))
        trial.session.commit()
        return ""

    assert ask(client, "/testbed/two") >= ERROR, (
        "the request that lost its transaction was answered as if it had not"
    )
    assert trial.names() == [], "half of the request is committed"
    assert_answers(client)


@check("faults.idle-timeout")
def test_idle_timeout(trial: Trial, client: FlaskClient, testbed_backend: Backend) -> None:
    with client.application.app_context():
        trial.session.execute(text(END_WHEN_IDLE[testbed_backend.name]))
        trial.session.commit()
    until(lambda: not trial.database.sessions())

    assert_answers(client)


@check("faults.held-too-long")
def test_held_too_long(trial: Trial, client: FlaskClient, testbed_backend: Backend) -> None:
    @client.application.get("/testbed/hold")
    def hold() -> str:
        trial.session.execute(text(END_IDLE_TRANSACTION[testbed_backend.name]))
        until(lambda: not trial.database.sessions())
        return str(trial.session.scalars(select(Item.id)).all())

    assert ask(client, "/testbed/hold") >= ERROR, (
        "the request that lost its transaction was answered as if it had not"
    )
    assert_answers(client)


@check("faults.stopped-mid-query")
def test_stopped_mid_query(own_trial: Trial, own_server: OwnServer, testbed_backend: Backend) -> None:
    client = answering(own_trial, own_trial.app()).test_client()
    known_as_loss: list[bool] = []

    @client.application.get("/testbed/slow")
    def slow() -> str:
        try:
            return str(own_trial.session.scalar(text(SLOW[testbed_backend.name])))
        except DBAPIError as error:
            known_as_loss.append(error.connection_invalidated)
            raise

    def work() -> tuple[int, int]:
        first = ask(client, "/testbed/slow")
        again.wait(WITHIN)
        return first, ask(client)

    again = threading.Event()
    waiting = Task(work)
    until(
        lambda: any(
            "count(" in str(row) for row in own_server.database.connection.rows(testbed_backend.activity)
        )
    )
    own_server.stop()
    own_server.start()
    again.set()
    first, second = waiting.result()

    assert known_as_loss == [STOP_IS_KNOWN_AS_LOSS[testbed_backend.name]], (
        "whether SQLAlchemy takes it for a lost connection has changed"
    )
    assert first >= ERROR, "the request that waited was answered as if nothing had happened"
    assert second == 200, f"the server is back, and the next request is answered with {second}"


# --- Servers that do not answer ---------------------------------------------------------------


@check("faults.half-open")
def test_half_open(own_trial: Trial, own_server: OwnServer, testbed_backend: Backend) -> None:
    app = answering(own_trial, own_trial.app(own_server.direct_uri))
    shorten_limits(own_trial, app, testbed_backend)
    assert_answers(app.test_client())
    own_server.cut()
    try:
        assert Task(lambda: ask(app.test_client())).result(BOUND) >= ERROR
    finally:
        own_server.mend()


@check("faults.paused")
def test_paused(own_trial: Trial, own_server: OwnServer, testbed_backend: Backend) -> None:
    app = answering(own_trial, own_trial.app())
    shorten_limits(own_trial, app, testbed_backend)
    assert_answers(app.test_client())
    own_server.pause()
    try:
        assert Task(lambda: ask(app.test_client())).result(BOUND) >= ERROR
    finally:
        own_server.mend()

    assert_answers(app.test_client())


@check("faults.statement-timeout")
def test_statement_timeout(trial: Trial, client: FlaskClient, testbed_backend: Backend) -> None:
    limit, slow = CUT_OFF[testbed_backend.name]
    with client.application.app_context():
        trial.session.execute(text(limit))
        with pytest.raises(DBAPIError) as error:
            trial.session.execute(text(slow))
        trial.session.rollback()

        assert trial.session.scalar(text("SELECT 1")) == 1
    assert not error.value.connection_invalidated, (
        "SQLAlchemy was told that the connection is lost, which works"
    )


# --- What runs out ----------------------------------------------------------------------------


@check("faults.pool-exhausted")
def test_pool_exhausted(trial: Trial, client: FlaskClient) -> None:
    pool = trial.engine(client.application).pool
    # What has no bound cannot be exhausted, and does not have to be.
    most = max(1, min(getattr(pool, "_max_overflow", 0) + getattr(pool, "size", lambda: CONNECTIONS)(), 20))
    has_one, done = threading.Semaphore(0), threading.Event()
    timeout = getattr(pool, "_timeout", None)
    if timeout is not None and timeout <= 60:
        pool._timeout = 0.2  # type: ignore[attr-defined]  # noqa: SLF001 - nobody waits that long here

    @client.application.get("/testbed/hold")
    def hold() -> str:
        trial.session.execute(select(Item.id))
        has_one.release()
        done.wait(WITHIN)
        return ""

    holders = [Task(lambda: ask(client, "/testbed/hold")) for _ in range(most)]
    try:
        assert all(has_one.acquire(timeout=WITHIN) for _ in holders), (
            f"not even {most} requests at a time, as many as the pool has places, get a connection"
        )
        began = time.monotonic()
        assert Task(lambda: ask(client)).result() in {200, 500, 503}
        assert time.monotonic() - began < WITHIN / 2, "the request was held up for seconds"
    finally:
        done.set()
    assert {holder.result() for holder in holders} == {200}
    trial.assert_nothing_open()
    asked_at_once(trial, client.application, most)


def fill(trial: Trial, client: FlaskClient, size: int, prepare: str = "SELECT 1") -> None:
    """Write until the database is full: the request that finds it so fails, and leaves nothing open."""

    @client.application.get("/testbed/fill")
    def write() -> str:
        trial.session.execute(text(prepare))
        trial.session.add(Ballast(data=os.urandom(size)))
        trial.session.commit()
        return ""

    statuses = [ask(client, "/testbed/fill")]
    while statuses[-1] == 200 and len(statuses) < 100:
        statuses.append(ask(client, "/testbed/fill"))

    assert statuses[0] == 200, "the first request, for which there was room, failed"
    assert statuses[-1] >= ERROR, "no request was told that the database is full"
    trial.assert_nothing_open()
    assert_answers(client)


def assert_writes_again(trial: Trial, client: FlaskClient, prepare: str = "SELECT 1") -> None:
    with client.application.app_context():
        trial.session.execute(text(prepare))
        trial.session.add(Item(name="there is room"))
        trial.session.commit()

    assert trial.names() == ["there is room"], "there is room again, and nothing is written"


@pytest.fixture
def small_server(
    request: pytest.FixtureRequest, own_servers: OwnServers, testbed_backend: Backend
) -> Iterator[OwnServer]:
    """A server with little room, which this check fills."""
    with lent(
        request, own_servers.get(flags=SMALL[testbed_backend.name], size=ROOM[testbed_backend.name])
    ) as own:
        yield own


@check("faults.disk-full")
@pytest.mark.testbed_within(60)
def test_disk_full(request: pytest.FixtureRequest, small_server: OwnServer, testbed_backend: Backend) -> None:
    from flask_sqlalchemy_testbed.battery.conftest import Trial  # noqa: PLC0415 - which imports what this module does

    trial = Trial(request, small_server.database)
    small_server.database.connection.rows(BALLAST[testbed_backend.name])
    client = answering(trial, trial.app()).test_client()
    fill(trial, client, 4 * MEGABYTE)

    small_server.database.connection.rows("DROP TABLE testbed_ballast")
    assert_writes_again(trial, client)
    trial.end()


@check("faults.file-full")
def test_file_full(trial: Trial, client: FlaskClient, testbed_backend: Backend) -> None:
    trial.database.connection.rows(BALLAST[testbed_backend.name])
    fill(trial, client, MEGABYTE // 4, "PRAGMA max_page_count = 400")

    assert_writes_again(trial, client, "PRAGMA max_page_count = 1000000")
