"""Promise 10: a forked worker never uses its parent's connections, however it was forked."""

import ctypes
import os
import traceback
from collections.abc import Callable

import pytest
from flask import Flask
from sqlalchemy import event, func, insert, select, text

from app.database import StaleSessionError, db_session

from .marker import Marker, engine_of

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork"),
    # The harness has threads that watch its servers; these children run no code of theirs.
    pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning"),
]


Fork = Callable[[], int]


@pytest.fixture(params=["python", "c"])
def fork(request: pytest.FixtureRequest) -> Fork:
    """Return a function that forks as Python does, or unnoticed by Python."""
    return os.fork if request.param == "python" else ctypes.PyDLL(None).fork


def in_child(fork: Fork, work: Callable[[], None]) -> None:
    """Run ``work`` in a forked child and fail with its traceback."""
    read, write = os.pipe()
    if (child := fork()) == 0:
        try:
            work()
        except BaseException:  # noqa: BLE001 - the parent reports it
            os.write(write, traceback.format_exc().encode()[-60_000:])
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as answer:
        failure = answer.read().decode()
    os.waitpid(child, 0)
    assert not failure, failure


def pooled_connections(app: Flask) -> set[int]:
    return {id(entry.dbapi_connection) for entry in engine_of(app).pool._pool.queue}  # type: ignore[attr-defined] # noqa: SLF001


def test_a_child_opens_connections_of_its_own(app: Flask, fork: Fork) -> None:
    with app.app_context():
        db_session.execute(text("SELECT 1"))
    parents = pooled_connections(app)

    def work() -> None:
        assert engine_of(app).pool.checkedin() == 0  # type: ignore[attr-defined]
        with app.app_context():
            assert db_session.scalar(text("SELECT 2")) == 2
        assert not pooled_connections(app) & parents

    in_child(fork, work)
    with app.app_context():
        assert db_session.scalar(text("SELECT 3")) == 3
    assert pooled_connections(app) == parents


@pytest.mark.usefixtures("app")
def test_a_child_does_not_touch_an_open_transaction_of_its_parent(fork: Fork) -> None:
    held = db_session()
    held.add(Marker(name="parent"))
    held.flush()

    def work() -> None:
        with pytest.raises(StaleSessionError):
            held.commit()
        assert db_session() is not held
        assert db_session.scalar(select(func.count(Marker.id))) == 0
        db_session.remove()

    in_child(fork, work)
    held.commit()
    assert db_session.scalars(select(Marker.name)).all() == ["parent"]


def test_a_child_forked_inside_a_context_has_a_session_of_its_own(app: Flask, fork: Fork) -> None:
    with app.app_context():
        held = db_session()
        held.execute(text("SELECT 1"))

        def work() -> None:
            assert db_session() is not held
            assert db_session.scalar(text("SELECT 2")) == 2

        in_child(fork, work)
        assert db_session() is held
        assert db_session.scalar(text("SELECT 3")) == 3


@pytest.mark.usefixtures("app")
def test_a_block_that_a_child_leaves_ends_no_transaction_of_its_parent(fork: Fork) -> None:
    with db_session.begin():
        db_session.add(Marker(name="parent"))
        db_session.flush()
        held = db_session()

        def work() -> None:
            for use in (held.commit, lambda: held.execute(text("SELECT 1")), held.connection):
                with pytest.raises(StaleSessionError, match=r"^This session belongs to the parent process"):
                    use()
            held.rollback()
            held.close()

        in_child(fork, work)
    assert db_session.scalars(select(Marker.name)).all() == ["parent"]


@pytest.mark.usefixtures("app")
def test_a_child_does_not_use_the_connection_of_an_inherited_session(fork: Fork) -> None:
    connection = db_session.connection()

    def work() -> None:
        db_session.remove()
        connection.close()

    connection.execute(insert(Marker).values(name="parent"))
    in_child(fork, work)
    connection.commit()
    assert db_session.scalars(select(Marker.name)).all() == ["parent"]


def test_an_engine_used_directly_in_a_child_opens_connections_of_its_own(app: Flask, fork: Fork) -> None:
    engine = engine_of(app)
    pinged = []
    event.listen(engine, "checkout", lambda connection, *_: pinged.append(id(connection)))
    with engine.connect() as first, engine.connect():
        first.execute(text("SELECT 1"))
    parents = set(pinged)

    def work() -> None:
        pinged.clear()
        for _ in range(2):
            with engine.connect() as connection:
                connection.execute(text("SELECT 2"))
        assert pinged
        assert not parents & set(pinged)

    in_child(fork, work)
    with engine.connect() as connection:
        connection.execute(text("SELECT 3"))


def test_a_child_sends_nothing_to_connections_of_its_parent(app: Flask, fork: Fork) -> None:
    """Note the ping and the end of each connection; they would be sent on the parent's socket."""
    engine = engine_of(app)
    engine.pool._pre_ping = True  # noqa: SLF001 - SQLite's has none
    with engine.connect():
        pass
    sent: list[object] = []

    def work() -> None:
        for method in ("do_ping", "do_close", "do_terminate", "do_rollback"):
            setattr(engine.dialect, method, lambda *_, method=method: sent.append(method))
        with engine.connect() as connection:
            assert connection
            assert sent == []

    in_child(fork, work)
