"""Promise 11: reads may come from a replica, in a session that writes nothing."""

import gc
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import event, select, text
from sqlalchemy.orm import Session

from app import create_app, database
from app.database import StaleSessionError, UnboundError, db_session, init_engine, live_engines
from app.database.replica import ReadOnlyError, init_replica, replica

from .marker import Marker, engine_of

NAMES = select(Marker.name)


@pytest.fixture
def app(make_app: Callable[..., Flask], database_uri: str, other_database_uri: str) -> Flask:
    """Make an app on a database, and on another one that stands for its replica."""
    standby = make_app(other_database_uri)
    with standby.app_context():
        db_session.add(Marker(name="replica"))
        db_session.commit()
    engine_of(standby).dispose()
    app = make_app(database_uri, DATABASE_REPLICA_URI=other_database_uri)
    with app.app_context():
        db_session.add(Marker(name="primary"))
        db_session.commit()
    return app


def test_replica_reads_from_the_replica_and_db_session_from_the_primary(app: Flask) -> None:
    with app.app_context(), replica() as session:
        assert session.scalars(NAMES).all() == ["replica"]
        assert db_session.scalars(NAMES).all() == ["primary"]


def test_db_session_reads_its_own_writes(app: Flask) -> None:
    with app.app_context():
        db_session.add(Marker(name="new"))
        db_session.commit()
        with replica() as session:
            assert set(db_session.scalars(NAMES)) == {"primary", "new"}
            assert session.scalars(NAMES).all() == ["replica"]


@pytest.mark.parametrize("method", ["flush", "commit"])
def test_replica_refuses_a_flush(app: Flask, method: str) -> None:
    with app.app_context(), replica() as session:
        session.add(Marker(name="new"))

        with pytest.raises(
            ReadOnlyError, match=r"^This session reads from a replica. Write with db_session.$"
        ):
            getattr(session, method)()

    with app.app_context(), replica() as session:
        assert session.scalars(NAMES).all() == ["replica"]


def test_replica_refuses_a_changed_row_before_the_next_query(app: Flask) -> None:
    with app.app_context(), replica() as session:
        session.scalars(select(Marker)).one().name = "changed"

        with pytest.raises(ReadOnlyError):
            session.scalars(NAMES).all()


def read_and_fail(session: Session) -> None:
    session.scalars(NAMES).all()
    raise ZeroDivisionError


def test_a_session_of_a_replica_ends_with_its_block(app: Flask) -> None:
    with app.app_context():
        with pytest.raises(ZeroDivisionError), replica() as session:
            read_and_fail(session)

        with pytest.raises(StaleSessionError):
            session.scalars(NAMES)
        pool = app.extensions["database"].replica.engine.pool
        assert (pool.checkedout(), pool.checkedin()) == (0, 1)


def test_without_a_replica_the_error_says_what_to_set(make_app: Callable[..., Flask]) -> None:
    with make_app().app_context(), pytest.raises(UnboundError, match="DATABASE_REPLICA_URI"), replica():
        pass


def test_outside_contexts_an_app_with_a_replica_is_one_app(app: Flask) -> None:
    assert db_session.get_bind() is engine_of(app)
    with replica() as session:
        assert session.scalars(NAMES).all() == ["replica"]


def test_a_replica_needs_no_app(database_uri: str, other_database_uri: str) -> None:
    init_engine(database_uri)
    engine = init_replica(other_database_uri)

    with replica() as session:
        assert session.get_bind() is engine


def test_init_replica_takes_the_options_of_an_engine(other_database_uri: str) -> None:
    engine = init_replica(other_database_uri, app=Flask("bare"), pool_size=3)

    assert engine.pool.size() == 3  # type: ignore[attr-defined]


def test_a_relative_sqlite_path_of_a_replica_is_in_the_instance_folder(tmp_path: Path) -> None:
    engine = init_replica("sqlite:///replica.db", app=Flask("bare", instance_path=str(tmp_path)))

    assert engine.url.database == str(tmp_path / "replica.db")


@pytest.mark.parametrize("options", [{"no_such_option": 1}, {"bind": None}])
def test_if_init_replica_raises_nothing_has_changed(
    app: Flask, database_uri: str, options: dict[str, object]
) -> None:
    with pytest.raises(TypeError):
        init_replica(database_uri, app=app, session_options=options)

    with app.app_context(), replica() as session:
        assert session.scalars(NAMES).all() == ["replica"]


def test_the_replica_of_an_app_is_disposed_of_with_it(database_uri: str, other_database_uri: str) -> None:
    app = create_app({"DATABASE_URI": database_uri, "DATABASE_REPLICA_URI": other_database_uri})
    closed = []
    with app.app_context(), replica() as session:
        session.execute(text("SELECT 1"))
        event.listen(session.get_bind(), "close", lambda *_: closed.append(1))
    assert len(live_engines()) == 2

    del app, session
    gc.collect()

    assert live_engines() == []
    assert closed == [1]


def test_a_replica_may_be_replaced(app: Flask, database_uri: str) -> None:
    with app.app_context(), replica() as old:
        init_replica(database_uri, app=app)

        with pytest.raises(StaleSessionError):
            old.scalars(NAMES)
        with replica() as session:
            assert session.scalars(NAMES).all() == ["primary"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_a_forked_child_connects_to_the_replica_itself(app: Flask) -> None:
    with app.app_context(), replica() as session:
        session.scalars(NAMES).all()
        if (child := os.fork()) == 0:
            pool = app.extensions["database"].replica.engine.pool
            os._exit(pool.checkedin() + pool.checkedout())

        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert session.scalars(NAMES).all() == ["replica"]


def test_the_folder_works_without_this_module(
    tmp_path: Path, database_uri: str, documented_settings: dict[str, bool]
) -> None:
    folder = Path(database.__file__).parent
    shutil.copytree(folder, tmp_path / "copied", ignore=shutil.ignore_patterns("replica.py", "__pycache__"))
    engine = f"copied.init_engine({database_uri!r}, **{documented_settings!r})"
    program = f"import copied; {engine}; copied.db_session.connection()"

    subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        check=True,
        timeout=30,
    )
