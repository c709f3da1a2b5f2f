"""Promises 5 and 7, for two-phase commits: no end of a session leaves a prepared transaction."""

import contextlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask
from sqlalchemy import NullPool, create_engine, insert, text, update
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from app.database import db_session, live_sessions
from flask_sqlalchemy_testbed.backends import Backend
from flask_sqlalchemy_testbed.databases import Database

from .marker import Marker, checked_out, engine_of, names_after_replacement, names_in
from .test_errors import SHORT_WAITS
from .test_unread_rows import SECONDS, many_rows

pytestmark = pytest.mark.testbed_needs("server")

PREPARED = {"postgresql": "SELECT gid FROM pg_prepared_xacts", "mysql": "XA RECOVER"}


@pytest.fixture
def app(make_app: Callable[..., Flask]) -> Flask:
    return make_app(DATABASE_SESSION_OPTIONS={"twophase": True})


@pytest.fixture
def prepared(testbed_database: Database) -> Callable[[], int]:
    """Return a function that counts the prepared transactions of the server."""
    engine = create_engine(testbed_database.uri, poolclass=NullPool)

    def count() -> int:
        with engine.connect() as connection:
            return len(connection.execute(text(testbed_database.backend.of(PREPARED))).all())

    return count


def write(name: str = "written") -> None:
    db_session.add(Marker(name=name))
    db_session.flush()


def prepare() -> None:
    write("prepared")
    db_session().prepare()


def test_a_commit_in_two_phases_commits(app: Flask, prepared: Callable[[], int]) -> None:
    with app.app_context():
        write()
        db_session.commit()
        prepare()
        assert prepared() == 1
        db_session.commit()

    assert sorted(names_in(app)) == ["prepared", "written"]
    assert prepared() == checked_out(app) == len(live_sessions()) == 0


@pytest.mark.parametrize("work", [write, prepare])
def test_the_end_of_a_context_rolls_back(
    app: Flask, prepared: Callable[[], int], work: Callable[[], None]
) -> None:
    with app.app_context():
        work()

    assert names_in(app) == []
    assert prepared() == checked_out(app) == len(live_sessions()) == 0


def commit_by_the_transaction(replace: Callable[[], None]) -> None:
    transaction = db_session.begin()
    write()
    replace()
    transaction.commit()


def commit_what_is_prepared(replace: Callable[[], None]) -> None:
    prepare()
    replace()
    db_session.commit()


def commit_what_is_prepared_by_the_transaction(replace: Callable[[], None]) -> None:
    transaction = db_session.begin()
    prepare()
    replace()
    transaction.commit()


def prepare_afterwards(replace: Callable[[], None]) -> None:
    write()
    replace()
    db_session().prepare()


@pytest.mark.parametrize(
    "commit",
    [
        commit_by_the_transaction,
        commit_what_is_prepared,
        commit_what_is_prepared_by_the_transaction,
        prepare_afterwards,
    ],
)
def test_a_session_on_a_replaced_engine_commits_nothing(
    app: Flask,
    database_uri: str,
    other_database_uri: str,
    prepared: Callable[[], int],
    commit: Callable[[Callable[[], None]], None],
) -> None:
    assert names_after_replacement(app, commit, database_uri, other_database_uri) == []
    assert prepared() == 0


@pytest.mark.filterwarnings("ignore:.*ServerCursor.*:ResourceWarning")
def test_unread_rows_hold_up_no_rollback(app: Flask, prepared: Callable[[], int]) -> None:
    with app.app_context():
        db_session.execute(insert(Marker), [{"name": f"{number}"} for number in range(10)])
        db_session.commit()
    began = time.monotonic()
    with app.app_context():
        write()
        assert db_session.execute(many_rows()).fetchone()

    assert time.monotonic() - began < SECONDS
    assert "written" not in names_in(app)
    assert prepared() == checked_out(app) == 0


def test_a_transaction_that_waited_too_long_for_a_lock_commits_nothing(
    make_app: Callable[..., Flask], prepared: Callable[[], int], testbed_backend: Backend
) -> None:
    waits = {"connect_args": testbed_backend.of(SHORT_WAITS)}
    app = make_app(DATABASE_SESSION_OPTIONS={"twophase": True}, DATABASE_ENGINE_OPTIONS=waits)
    engine = engine_of(app)
    with engine.begin() as connection:
        connection.execute(insert(Marker).values(id=101, name="one"))
    change = update(Marker).where(Marker.id == 101)
    with engine.connect() as holder:
        holder.execute(change.values(name="held"))
        with app.app_context():
            write("first half")
            with pytest.raises(DBAPIError):
                db_session.execute(change.values(name="waited"))
            with contextlib.suppress(SQLAlchemyError):
                write("second half")
                db_session.commit()

    assert names_in(app) == ["one"]
    assert prepared() == checked_out(app) == 0


def test_the_victim_of_a_deadlock_commits_nothing(app: Flask, prepared: Callable[[], int]) -> None:
    engine, locked = engine_of(app), threading.Event()
    first, second = (
        update(Marker).where(Marker.id == number).values(name=f"{number}") for number in (101, 102)
    )
    with engine.begin() as connection:
        connection.execute(insert(Marker), [{"id": 101, "name": "one"}, {"id": 102, "name": "two"}])

    def other() -> None:
        with engine.connect() as connection, contextlib.suppress(DBAPIError):
            # MySQL ends the transaction that has changed fewer rows.
            connection.execute(insert(Marker), [{"name": f"more {number}"} for number in range(9)])
            connection.execute(second)
            locked.set()
            connection.execute(first)

    with ThreadPoolExecutor(1) as thread, app.app_context():
        db_session.execute(first)
        waiting = thread.submit(other)
        assert locked.wait(10)
        with contextlib.suppress(SQLAlchemyError):
            with contextlib.suppress(DBAPIError):
                db_session.execute(second)
            write("second half")
            db_session.commit()
        db_session.remove()
        waiting.result(20)

    assert prepared() == checked_out(app) == 0
    assert ("second half" in names_in(app)) == ("101" in names_in(app))
