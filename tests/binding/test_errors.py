"""Promise 10: after some errors a connection, or its transaction, is not used further."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import URL, Connection, Engine, event, func, insert, select, update
from sqlalchemy.exc import DBAPIError, PendingRollbackError
from sqlalchemy.orm import Session

from app.database import db_session
from app.database.engines import make_engine
from app.faults import Fault, fault_of
from app.retry import in_transaction
from flask_sqlalchemy_testbed.backends import Backend
from flask_sqlalchemy_testbed.plugin import state
from flask_sqlalchemy_testbed.servers.readiness import wait_until_ready

from .marker import Marker, engine_of

# What makes a server refuse all writes, as one does that is the primary no longer.
READ_ONLY = {
    "postgresql": ("-c", "default_transaction_read_only=on"),
    "mysql": ("--super-read-only",),
    "mariadb": ("--read-only",),
}

# Arguments of the driver, with which a wait for a lock ends after a second.
SHORT_WAITS = {
    "postgresql": {"options": "-c lock_timeout=1s"},
    "mysql": {"init_command": "SET innodb_lock_wait_timeout = 1"},
}


@pytest.fixture(scope="module")
def read_only_server(pytestconfig: pytest.Config, testbed_backend: Backend) -> Iterator[URL]:
    """Start a server that answers and takes no writes."""
    flags = testbed_backend.of(READ_ONLY)
    container = state.run_of(pytestconfig).start_container(testbed_backend, flags=flags)
    try:
        wait_until_ready(testbed_backend, container.url(), where="read-only", within=30, container=container)
        yield container.url()
    finally:
        container.remove()


@pytest.mark.testbed_needs("container")
def test_the_pool_leaves_a_server_that_takes_no_writes(database_uri: str, read_only_server: URL) -> None:
    engine = make_engine(database_uri, pool_size=3)
    demoted = [True]

    @event.listens_for(engine, "do_connect")
    def connecting(_dialect: object, _record: object, _args: object, arguments: dict[str, Any]) -> None:
        if demoted[0]:
            url = read_only_server
            database = "dbname" if "dbname" in arguments else "database"
            arguments.update(
                {"host": url.host, "port": url.port, "password": url.password, database: url.database}
            )

    held = [engine.connect() for _ in range(3)]
    for connection in held:
        connection.close()
    demoted[0] = False

    errors = []
    for number in range(6):
        try:
            with engine.begin() as connection:
                connection.exec_driver_sql(f"CREATE TABLE written_{number} (x INTEGER)")
        except DBAPIError as error:
            errors.append(error)

    assert [fault_of(error) for error in errors] == [Fault.AWAY] * 3
    assert all(error.connection_invalidated for error in errors)
    with engine.connect() as connection:
        for number in (3, 4, 5):
            connection.exec_driver_sql(f"DROP TABLE written_{number}")
    engine.dispose()


@pytest.mark.testbed_needs("server")
def test_a_write_in_a_read_only_transaction_of_the_app_costs_no_other_connection(app: Flask) -> None:
    engine = engine_of(app)
    engine.dispose()
    opened: list[object] = []
    event.listen(engine, "connect", lambda *_: opened.append(1))
    with engine.connect(), engine.connect(), engine.connect():
        pass
    with engine.connect() as connection:
        connection.exec_driver_sql("SET TRANSACTION READ ONLY")
        with pytest.raises(DBAPIError):
            connection.execute(insert(Marker).values(name="refused"))
    with engine.connect() as first, engine.connect() as second, engine.connect() as third:
        for connection in (first, second, third):
            connection.scalar(select(func.count(Marker.id)))

    assert 3 <= len(opened) <= 4


@pytest.fixture
def contended(make_app: Callable[..., Flask], testbed_backend: Backend) -> Iterator[Engine]:
    """Yield an engine that waits a second for locks, with two rows.

    Its app lives as long as the test.
    """
    app = make_app(DATABASE_ENGINE_OPTIONS={"connect_args": testbed_backend.of(SHORT_WAITS)})
    engine = engine_of(app)
    with engine.begin() as connection:
        connection.execute(insert(Marker), [{"id": 101, "name": "one"}, {"id": 102, "name": "two"}])
    yield engine  # noqa: PT022 - until the test ends, the frame of this generator keeps the app


def rename(connection: Connection, number: int, name: str) -> None:
    connection.execute(update(Marker).where(Marker.id == 100 + number).values(name=name))


def names_in(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return list(connection.scalars(select(Marker.name).order_by(Marker.name)))


@pytest.mark.testbed_needs("server")
def test_a_transaction_that_waited_too_long_for_a_lock_can_only_be_rolled_back(contended: Engine) -> None:
    with contended.connect() as holder, contended.connect() as waiter:
        rename(holder, 1, "held")
        waiter.execute(insert(Marker).values(name="first half"))
        with pytest.raises(DBAPIError) as error:
            rename(waiter, 1, "waited")
        assert fault_of(error.value) is Fault.CONTENDED
        assert not error.value.connection_invalidated

        with pytest.raises((DBAPIError, PendingRollbackError)):
            waiter.execute(insert(Marker).values(name="second half"))
        # It holds no locks any more.
        holder.execute(insert(Marker).values(name="first half"))
        holder.rollback()
        with contextlib.suppress(PendingRollbackError):
            waiter.commit()
        waiter.rollback()
        rename(waiter, 1, "again")
        waiter.commit()

    assert names_in(contended) == ["again", "two"]


# Behind a pooler, the limit of the role applies there.
@pytest.mark.testbed_needs("server", "own-sessions")
def test_in_autocommit_mode_a_long_wait_for_a_lock_ends_one_statement(contended: Engine) -> None:
    autocommit = contended.execution_options(isolation_level="AUTOCOMMIT")
    with contended.connect() as holder, autocommit.connect() as waiter:
        rename(holder, 1, "held")
        with pytest.raises(DBAPIError):
            rename(waiter, 1, "waited")
        rename(waiter, 2, "next")

    assert names_in(contended) == ["next", "one"]


@pytest.mark.testbed_needs("server")
def test_a_session_whose_transaction_waited_too_long_commits_no_half_of_it(contended: Engine) -> None:
    with contended.connect() as holder, Session(contended) as session:
        rename(holder, 1, "held")
        session.add(Marker(name="first half"))
        session.flush()
        with pytest.raises(DBAPIError):
            session.execute(update(Marker).where(Marker.id == 101).values(name="waited"))
        with contextlib.suppress(PendingRollbackError, DBAPIError):
            session.commit()

    assert names_in(contended) == ["one", "two"]


@pytest.mark.testbed_needs("server")
def test_the_victim_of_a_deadlock_commits_no_half_of_its_transaction(make_app: Callable[..., Flask]) -> None:
    engine = engine_of(make_app())
    with engine.begin() as connection:
        connection.execute(insert(Marker), [{"id": 101, "name": "one"}, {"id": 102, "name": "two"}])
    locked = threading.Event()

    def other() -> None:
        with engine.connect() as connection, contextlib.suppress(DBAPIError):
            # MySQL ends the transaction that has changed fewer rows.
            connection.execute(insert(Marker), [{"name": f"{number}"} for number in range(9)])
            rename(connection, 2, "other")
            locked.set()
            rename(connection, 1, "other")

    with ThreadPoolExecutor(1) as thread, engine.connect() as connection:
        rename(connection, 1, "first half")
        waiting = thread.submit(other)
        assert locked.wait(10)
        with contextlib.suppress(DBAPIError, PendingRollbackError):
            with contextlib.suppress(DBAPIError), connection.begin_nested():
                rename(connection, 2, "this")
            connection.execute(insert(Marker).values(name="second half"))
            connection.commit()
        connection.rollback()
        waiting.result(30)

    names = names_in(engine)
    assert ("first half" in names) == ("second half" in names)


@pytest.mark.testbed_needs("server")
def test_work_that_waited_too_long_for_a_lock_runs_again(contended: Engine) -> None:
    tries = []
    with contended.connect() as holder:
        rename(holder, 1, "held")

        def work() -> None:
            tries.append(1)
            if len(tries) > 1:
                holder.rollback()
            db_session.execute(update(Marker).where(Marker.id == 101).values(name=f"{len(tries)}"))

        in_transaction(work)

    assert names_in(contended) == ["2", "two"]


@pytest.mark.testbed_needs("server")
def test_a_transaction_whose_row_was_changed_since_its_read_commits_no_half(contended: Engine) -> None:
    with contended.connect() as other, contended.connect() as connection:
        connection.execution_options(isolation_level="REPEATABLE READ")
        connection.execute(insert(Marker).values(name="first half"))
        connection.scalar(select(func.count(Marker.id)))
        rename(other, 1, "meanwhile")
        other.commit()
        with contextlib.suppress(DBAPIError, PendingRollbackError):
            with contextlib.suppress(DBAPIError):
                rename(connection, 1, "this")
            connection.execute(insert(Marker).values(name="second half"))
            connection.commit()

    # MySQL lets the second change overwrite the first.
    assert names_in(contended) in (["meanwhile", "two"], ["first half", "second half", "this", "two"])
