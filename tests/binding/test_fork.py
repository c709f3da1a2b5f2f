"""Promise 10: a forked worker never uses its parent's connections."""

import os
import traceback
from collections.abc import Callable

import pytest
from flask import Flask
from sqlalchemy import func, select, text

from app.database import StaleSessionError, db_session, forks, get_engine

from .marker import Marker, engine_of

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork"),
    # The harness has threads that watch its servers; these children run no code of theirs.
    pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning"),
]


def in_child(work: Callable[[], None]) -> None:
    """Run ``work`` in a forked child and fail with its traceback."""
    read, write = os.pipe()
    if (child := os.fork()) == 0:
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


def test_a_child_opens_connections_of_its_own(app: Flask) -> None:
    with app.app_context():
        db_session.execute(text("SELECT 1"))
    parents = pooled_connections(app)

    def work() -> None:
        assert engine_of(app).pool.checkedin() == 0  # type: ignore[attr-defined]
        with app.app_context():
            assert db_session.scalar(text("SELECT 2")) == 2
        assert not pooled_connections(app) & parents

    in_child(work)
    with app.app_context():
        assert db_session.scalar(text("SELECT 3")) == 3
    assert pooled_connections(app) == parents


@pytest.mark.usefixtures("app")
def test_a_child_does_not_touch_an_open_transaction_of_its_parent() -> None:
    held = db_session()
    held.add(Marker(name="parent"))
    held.flush()

    def work() -> None:
        with pytest.raises(StaleSessionError):
            held.commit()
        assert db_session() is not held
        assert db_session.scalar(select(func.count(Marker.id))) == 0
        db_session.remove()

    in_child(work)
    held.commit()
    assert db_session.scalars(select(Marker.name)).all() == ["parent"]


def test_a_child_forked_inside_a_context_has_a_session_of_its_own(app: Flask) -> None:
    with app.app_context():
        held = db_session()
        held.execute(text("SELECT 1"))

        def work() -> None:
            assert db_session() is not held
            assert db_session.scalar(text("SELECT 2")) == 2

        in_child(work)
        assert db_session() is held
        assert db_session.scalar(text("SELECT 3")) == 3


def test_a_child_first_leaves_the_open_connections_of_its_parent_alone(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Call the function that a child calls first, in this process, where its effects can be seen."""
    inherited: list[object] = []
    monkeypatch.setattr(forks, "inherited", inherited)
    engine = engine_of(app)
    pool = engine.pool
    engine.connect().close()
    (parents,) = engine.pool._pool.queue  # type: ignore[attr-defined] # noqa: SLF001
    held = db_session()
    forks.reset_after_fork()

    assert engine.pool.checkedin() == 0  # type: ignore[attr-defined]
    assert inherited == [([held], [pool])]
    parents.dbapi_connection.cursor().execute("SELECT 1")
    with pytest.raises(StaleSessionError):
        held.get_bind()
    assert get_engine() is engine
    assert db_session() is not held
    parents.close()
