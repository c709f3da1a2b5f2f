"""Promise 5: outside contexts ``db_session`` belongs to the thread.

Replacing an engine ends the use of the sessions on it.
"""

import gc
import sqlite3
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import pytest
from flask import Flask
from sqlalchemy import Connection, event, insert, select, text

from app.database import StaleSessionError, UnboundError, db_session, get_engine, init_engine

from .marker import Marker, checked_out, engine_of, names_after_replacement


def test_outside_contexts_db_session_uses_the_one_live_engine(app: Flask) -> None:
    db_session.add(Marker(name="shell"))
    db_session.commit()

    assert db_session.get_bind() is engine_of(app) is get_engine()
    assert db_session.scalars(select(Marker.name)).all() == ["shell"]


def test_outside_contexts_db_session_uses_an_engine_without_an_app(database_uri: str) -> None:
    engine = init_engine(database_uri)

    assert db_session.get_bind() is engine
    db_session.remove()


def test_outside_contexts_each_thread_has_a_session_of_its_own(app: Flask) -> None:
    def session_of_a_thread() -> object:
        try:
            return db_session()
        finally:
            db_session.remove()

    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(session_of_a_thread).result() is not db_session()
    assert engine_of(app)


def test_with_several_live_engines_the_error_says_to_push_a_context(
    make_app: Callable[..., Flask], other_database_uri: str
) -> None:
    first = make_app()
    db_session.execute(text("SELECT 1"))
    last = make_app(other_database_uri)

    with pytest.raises(
        UnboundError, match=r"^2 engines are live .* is meant. Push one: with app.app_context\(\)"
    ):
        db_session.execute(text("SELECT 1"))
    db_session.remove()
    with pytest.raises(UnboundError):
        db_session.execute(text("SELECT 1"))
    assert checked_out(first) == checked_out(last) == 0


def test_a_disposed_engine_is_not_live(make_app: Callable[..., Flask], other_database_uri: str) -> None:
    first, last = make_app(), make_app(other_database_uri)
    engine_of(last).dispose()

    assert db_session.get_bind() is engine_of(first)


def test_a_disposed_engine_still_serves_its_app(app: Flask) -> None:
    engine_of(app).dispose()
    with pytest.raises(UnboundError):
        db_session()

    with app.app_context():
        assert db_session.scalar(text("SELECT 1")) == 1
    assert db_session.scalar(text("SELECT 1")) == 1


def test_a_session_of_a_disposed_engine_is_refused(
    make_app: Callable[..., Flask], other_database_uri: str
) -> None:
    first = make_app()
    db_session.execute(text("SELECT 1"))
    engine_of(first).dispose()
    last = make_app(other_database_uri)

    with pytest.raises(
        StaleSessionError,
        match=r"^The engine of this session was disposed of. Call db_session.remove\(\) and",
    ):
        db_session.execute(text("SELECT 1"))
    db_session.remove()
    assert db_session.get_bind() is engine_of(last)


def test_an_engine_is_disposed_of_when_its_app_is_collected(
    make_app: Callable[..., Flask], other_database_uri: str
) -> None:
    kept, dropped = make_app(), make_app(other_database_uri)
    with dropped.app_context():
        db_session.execute(text("SELECT 1"))
    closed = []
    event.listen(engine_of(dropped), "close", lambda *_: closed.append(1))
    gone = weakref.ref(dropped)
    del dropped
    gc.collect()

    assert gone() is None
    assert closed
    assert db_session.get_bind() is engine_of(kept)


def test_an_app_is_collected_though_a_listener_of_its_engine_refers_to_it(
    make_app: Callable[..., Flask],
) -> None:
    def make_and_drop() -> weakref.ref[Flask]:
        app = make_app()
        event.listen(engine_of(app), "checkout", lambda *_: app.logger.info("The app connects."))
        return weakref.ref(app)

    dropped = make_and_drop()
    gc.collect()

    assert dropped() is None


class ConnectionThatMustBeClosed(sqlite3.Connection):
    """Report a connection that is deleted while it is open, as psycopg 3 does."""

    is_open = True
    deleted_open: ClassVar[list[object]] = []

    def close(self) -> None:
        self.is_open = False
        super().close()

    def __del__(self) -> None:
        if self.is_open:
            self.deleted_open.append(self)


def test_connections_are_closed_before_the_collector_deletes_them() -> None:
    # The collector takes old objects first, so the connections are older than their app.
    connections = [ConnectionThatMustBeClosed(":memory:", check_same_thread=False) for _ in range(2)]
    app = Flask("bare")
    engine = init_engine("sqlite://", app=app, creator=connections.pop)
    with engine.connect(), engine.connect():
        pass
    del app, engine
    gc.collect()

    assert ConnectionThatMustBeClosed.deleted_open == []


@pytest.mark.parametrize("end", [Connection.invalidate, Connection.detach])
def test_a_connection_that_has_left_the_pool_is_not_kept(end: Callable[[Connection], None]) -> None:
    app = Flask("bare")
    engine = init_engine("sqlite://", app=app, connect_args={"factory": ConnectionThatMustBeClosed})
    with engine.connect() as connection:
        gone = weakref.ref(connection.connection.dbapi_connection)
        end(connection)
    del connection
    gc.collect()

    assert gone() is None


@pytest.mark.parametrize("owned", [True, False], ids=["same-app", "no-app"])
def test_a_second_init_engine_disposes_of_the_engine_that_it_replaces(
    owned: bool,  # noqa: FBT001 - a parameter of the test
    app: Flask,
    database_uri: str,
    other_database_uri: str,
) -> None:
    owner = app if owned else None
    if not owned:
        engine_of(app).dispose()
    replaced = init_engine(database_uri, app=owner)
    db_session.execute(text("SELECT 1"))
    closed = []
    event.listen(replaced, "close", lambda *_: closed.append(1))
    new = init_engine(other_database_uri, app=owner)

    assert closed == [1]
    assert db_session.get_bind() is new
    assert new.url.database != replaced.url.database


def test_sessions_on_a_replaced_engine_are_refused_until_they_are_removed(
    app: Flask, database_uri: str, other_database_uri: str
) -> None:
    init_engine(database_uri, app=app)
    ready, rebound = threading.Event(), threading.Event()
    closed: list[int] = []

    def work() -> list[bool]:
        held = db_session()
        held.add(Marker(name="lost"))
        held.flush()
        ready.set()
        assert rebound.wait(10)
        refused = []
        for use in (held.commit, lambda: held.execute(text("SELECT 1")), db_session.get_bind):
            with pytest.raises(
                StaleSessionError,
                match=r"^The engine of this session was replaced. Call db_session.remove\(\) and start",
            ):
                refused.append(use())
        db_session.remove()
        answers = [closed == [1], db_session.get_bind() is engine_of(app)]
        db_session.remove()
        return answers

    event.listen(engine_of(app), "close", lambda *_: closed.append(1))
    with ThreadPoolExecutor(1) as thread:
        answer = thread.submit(work)
        assert ready.wait(10)
        init_engine(other_database_uri, app=app)
        rebound.set()

        assert answer.result(20) == [True, True]


def write_in_a_block(replace: Callable[[], None]) -> None:
    with db_session.begin():
        db_session.add(Marker(name="lost"))
        db_session.flush()
        replace()


def write_by_the_transaction(replace: Callable[[], None]) -> None:
    transaction = db_session.begin()
    db_session.add(Marker(name="lost"))
    db_session.flush()
    replace()
    transaction.commit()


def write_in_a_savepoint(replace: Callable[[], None]) -> None:
    with db_session.begin(), db_session.begin_nested():
        db_session.add(Marker(name="lost"))
        db_session.flush()
        replace()


def write_by_the_connection(replace: Callable[[], None]) -> None:
    connection = db_session.connection()
    connection.execute(insert(Marker).values(name="lost"))
    replace()
    connection.commit()


def write_without_a_transaction(replace: Callable[[], None]) -> None:
    connection = db_session.connection(execution_options={"isolation_level": "AUTOCOMMIT"})
    replace()
    connection.execute(insert(Marker).values(name="lost"))


def write_on_an_option_engine(replace: Callable[[], None]) -> None:
    with db_session(bind=get_engine().execution_options(schema_translate_map={})).begin():
        db_session.add(Marker(name="lost"))
        db_session.flush()
        replace()


def write_on_a_rebound_session(replace: Callable[[], None]) -> None:
    db_session.bind = get_engine().execution_options(schema_translate_map={})
    write_in_a_block(replace)


@pytest.mark.parametrize(
    "write",
    [
        write_in_a_block,
        write_by_the_transaction,
        write_in_a_savepoint,
        write_by_the_connection,
        write_without_a_transaction,
        write_on_an_option_engine,
        write_on_a_rebound_session,
    ],
)
def test_a_session_on_a_replaced_engine_commits_nothing(
    app: Flask,
    database_uri: str,
    other_database_uri: str,
    write: Callable[[Callable[[], None]], None],
) -> None:
    assert names_after_replacement(app, write, database_uri, other_database_uri) == []


def test_an_error_names_the_app_that_was_collected_with_its_engine(database_uri: str) -> None:
    gc.collect()
    init_engine(database_uri, app=Flask("forgotten"))
    gc.collect()

    with pytest.raises(
        UnboundError,
        match=r"^No engine is bound. .* App 'forgotten' was garbage collected with its engine. Keep a ref",
    ):
        db_session()


def test_the_engine_of_a_second_app_leaves_the_first_alone(
    make_app: Callable[..., Flask], other_database_uri: str
) -> None:
    first = make_app()
    with first.app_context():
        session = db_session()
        connection = session.connection().connection.dbapi_connection
        make_app(other_database_uri)

        assert db_session() is session
        assert session.connection().connection.dbapi_connection is connection


def test_dropped_apps_leave_no_connection_behind(make_app: Callable[..., Flask]) -> None:
    opened: list[int] = []
    closed: list[int] = []
    for _ in range(10):
        app = make_app()
        event.listen(engine_of(app), "connect", lambda *_: opened.append(1))
        event.listen(engine_of(app), "close", lambda *_: closed.append(1))
        engine_of(app).dispose()
        with app.app_context():
            db_session.execute(text("SELECT 1"))
    del app
    gc.collect()

    # make_app opened one more connection of each app, before the listener was there.
    assert len(opened) == 10
    assert len(closed) == 20
