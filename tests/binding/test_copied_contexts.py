"""Promise 6, for threads in a copy of a context: they use its session while it runs."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import Connection, Executable, event, insert, literal, select, text, union_all

from app.database import StaleSessionError, UnboundError, db_session, live_sessions

from .marker import Marker, checked_out, engine_of

WITHIN = 10
SELECT = text("SELECT 1")


@pytest.fixture
def thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as thread:
        yield thread


def copied(thread: ThreadPoolExecutor, work: Callable[[], object]) -> Future[object]:
    """Start ``work`` in a thread with a copy of this context.

    A free-threaded Python starts each thread in this way.
    """
    return thread.submit(copy_context().run, work)


def scalar(statement: Executable = SELECT) -> object:
    session = db_session()
    try:
        return session.scalar(statement)
    finally:
        session.close()


def test_a_thread_in_a_copy_of_the_context_uses_its_session_while_it_runs(
    app: Flask, thread: ThreadPoolExecutor
) -> None:
    with app.app_context():
        assert copied(thread, db_session).result(WITHIN) is db_session()
    assert checked_out(app) == len(live_sessions()) == 0


def test_a_context_that_has_ended_refuses_new_sessions(app: Flask, thread: ThreadPoolExecutor) -> None:
    ended = threading.Event()
    with app.app_context():
        db_session.execute(SELECT)
        late = copied(thread, lambda: ended.wait(WITHIN) and scalar())
        late_with_options = copied(thread, lambda: ended.wait(WITHIN) and db_session(autoflush=False))
    ended.set()

    for refused in (late, late_with_options):
        with pytest.raises(
            UnboundError, match=r"^The context has ended. Push a context in this thread: with app.app_context"
        ):
            refused.result(WITHIN)
    assert checked_out(app) == len(live_sessions()) == 0


def test_a_context_that_is_pushed_again_has_a_session_again(app: Flask) -> None:
    context = app.app_context()
    for _ in range(2):
        with context:
            assert scalar() == 1
        assert checked_out(app) == len(live_sessions()) == 0


def test_a_teardown_callback_may_use_a_thread_in_a_copy_of_the_context(
    app: Flask, thread: ThreadPoolExecutor
) -> None:
    answers = []
    app.teardown_appcontext(lambda _: answers.append(copied(thread, scalar).result(WITHIN)))
    with app.app_context():
        pass

    assert answers == [1]
    assert checked_out(app) == len(live_sessions()) == 0


def test_a_session_that_has_ended_is_refused_where_it_is_still_held(app: Flask) -> None:
    with app.app_context():
        held = db_session()

    for use in (lambda: held.execute(SELECT), held.commit):
        with pytest.raises(StaleSessionError, match=r"^This session has ended. Use db_session"):
            use()
    assert checked_out(app) == 0


def test_a_connection_in_use_by_another_thread_leaves_the_pool_when_its_context_ends(
    app: Flask, thread: ThreadPoolExecutor
) -> None:
    engine, executing, closed = engine_of(app), threading.Event(), threading.Event()

    def set_at_insert(*arguments: Any) -> None:
        if arguments[2].startswith("INSERT"):
            executing.set()

    same = insert(Marker).values(name="same")
    with engine.connect() as first:
        first.execute(same)
        event.listen(engine, "before_cursor_execute", set_at_insert)
        event.listen(engine, "close_detached", lambda *_: closed.set())
        with app.app_context():
            # It waits for the transaction of the first connection.
            waits = copied(thread, lambda: scalar(same))
            assert executing.wait(WITHIN)

        assert checked_out(app) == 1
        first.rollback()
        with pytest.raises(StaleSessionError, match="has ended"):
            waits.result(WITHIN)
    assert closed.is_set()
    assert checked_out(app) == len(live_sessions()) == 0
    with engine.connect() as connection:
        assert connection.scalars(select(Marker.name)).all() == []


def test_a_connection_that_another_thread_opens_as_the_context_ends_is_returned(
    app: Flask, thread: ThreadPoolExecutor
) -> None:
    engine, connecting, ended = engine_of(app), threading.Event(), threading.Event()

    def hold(*_: object) -> None:
        connecting.set()
        assert ended.wait(WITHIN)

    engine.dispose()
    event.listen(engine, "do_connect", hold)
    with app.app_context():
        connects = copied(thread, scalar)
        assert connecting.wait(WITHIN)
    ended.set()

    with pytest.raises(StaleSessionError, match="has ended"):
        connects.result(WITHIN)
    assert checked_out(app) == len(live_sessions()) == 0


@pytest.mark.parametrize("use", [Connection.commit, Connection.rollback])
def test_the_connection_of_a_session_that_has_ended_is_closed(
    app: Flask, use: Callable[[Connection], None]
) -> None:
    with app.app_context():
        connection = db_session.connection()
    use(connection)

    assert connection.closed
    assert checked_out(app) == 0


def test_a_connection_whose_rows_another_thread_reads_leaves_the_pool_when_its_context_ends(
    app: Flask, thread: ThreadPoolExecutor
) -> None:
    reading, ended = threading.Event(), threading.Event()

    def read() -> list[int]:
        session = db_session()
        streamed = session.connection(execution_options={"stream_results": True})
        rows = streamed.execute(union_all(*[select(literal(number)) for number in range(3)]))
        first = next(rows)[0]
        reading.set()
        assert ended.wait(WITHIN)
        others = rows.scalars().all()
        session.close()
        return [first, *others]

    with app.app_context():
        reads = copied(thread, read)
        assert reading.wait(WITHIN)
    assert checked_out(app) == 0
    ended.set()

    assert reads.result(WITHIN) == [0, 1, 2]
    with app.app_context():
        assert scalar() == 1
