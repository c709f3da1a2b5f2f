"""Promise 10: a forked worker never uses its parent's connections."""

from __future__ import annotations

import os
import traceback
from typing import TYPE_CHECKING
from unittest.mock import ANY

import pytest
from sqlalchemy import func, select, text

from app import database
from app.database import StaleSessionError, db_session

from .marker import Marker, engine_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask import Flask

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork"),
    # The harness watches its servers from threads; the children here run no code of theirs.
    pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning"),
]


def in_child(work: Callable[[], None]) -> None:
    """Run ``work`` in a forked child and fail with its traceback."""
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        try:
            work()
        except BaseException:  # noqa: BLE001 - it is told to the parent
            os.write(write, traceback.format_exc().encode()[-60_000:])
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as answer:
        said = answer.read().decode()
    os.waitpid(child, 0)
    assert not said, said


def connections_used(app: Flask) -> set[int]:
    return {id(entry.dbapi_connection) for entry in engine_of(app).pool._pool.queue}  # type: ignore[attr-defined] # noqa: SLF001


def test_a_child_opens_connections_of_its_own(app: Flask) -> None:
    with app.app_context():
        db_session.execute(text("SELECT 1"))
    parents = connections_used(app)

    def work() -> None:
        assert engine_of(app).pool.checkedin() == 0  # type: ignore[attr-defined]
        with app.app_context():
            assert db_session.scalar(text("SELECT 2")) == 2
        assert not connections_used(app) & parents

    in_child(work)
    with app.app_context():
        assert db_session.scalar(text("SELECT 3")) == 3
    assert connections_used(app) == parents


@pytest.mark.usefixtures("app")
def test_a_child_does_not_touch_a_transaction_that_the_parent_has_open() -> None:
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


def test_a_child_forked_inside_a_context_has_its_own_session(app: Flask) -> None:
    with app.app_context():
        held = db_session()
        held.execute(text("SELECT 1"))

        def work() -> None:
            assert db_session() is not held
            assert db_session.scalar(text("SELECT 2")) == 2

        in_child(work)
        assert db_session() is held
        assert db_session.scalar(text("SELECT 3")) == 3


def test_what_a_child_does_first_closes_nothing_and_leaves_nothing_in_use(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this process, where it can be watched."""
    inherited: list[object] = []
    monkeypatch.setattr(database, "_inherited", inherited)
    engine = engine_of(app)
    engine.connect().close()
    (parents,) = engine.pool._pool.queue  # type: ignore[attr-defined] # noqa: SLF001
    held = db_session()
    database._start_anew()  # noqa: SLF001

    assert engine.pool.checkedin() == 0  # type: ignore[attr-defined]
    assert inherited == [({database._thread.scope: held}, [ANY])]  # noqa: SLF001
    parents.dbapi_connection.cursor().execute("SELECT 1")
    with pytest.raises(StaleSessionError):
        held.get_bind()
    assert database.get_engine() is engine
    assert db_session() is not held
    parents.close()
