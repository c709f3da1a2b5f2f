"""Promises 2 and 4: the engine connects on first use and belongs to its app."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask, current_app
from sqlalchemy import Column, Integer, Table, event, inspect, select, text

from app import create_app
from app.database import Base, UnboundError, create_all, db_session, drop_all, get_engine, init_engine
from app.database.engines import make_engine

from .marker import Marker, engine_of


def test_init_engine_returns_the_engine_of_the_app_with_the_given_options(database_uri: str) -> None:
    app = Flask("bare")
    engine = init_engine(database_uri, app=app, pool_size=3)

    assert engine is engine_of(app)
    assert engine.pool.size() == 3  # type: ignore[attr-defined]


def test_the_engine_connects_on_first_use(database_uri: str) -> None:
    app = create_app({"DATABASE_URI": database_uri})
    connected = []
    event.listen(engine_of(app), "connect", lambda *_: connected.append(1))
    assert connected == []

    with app.app_context():
        db_session.execute(text("SELECT 1"))

    assert connected == [1]


def test_the_engine_is_an_extension_of_current_app(app: Flask) -> None:
    with app.app_context():
        assert db_session.get_bind() is get_engine() is current_app.extensions["database"].engine


def test_several_apps_in_one_process_each_keep_their_engine(
    make_app: Callable[..., Flask], other_database_uri: str
) -> None:
    first, last = make_app(), make_app(other_database_uri)
    for app, name in ((first, "first"), (last, "last")):
        app.add_url_rule("/names", view_func=lambda: list(db_session.scalars(select(Marker.name))))
        with app.app_context():
            db_session.add(Marker(name=name))
            db_session.commit()

    for app, name in ((first, "first"), (last, "last"), (first, "first")):
        assert app.test_client().get("/names").json == [name]


def test_a_context_inside_the_context_of_another_app_has_its_own_engine(
    make_app: Callable[..., Flask], other_database_uri: str
) -> None:
    outer, inner = make_app(), make_app(other_database_uri)

    with outer.app_context():
        before = db_session.get_bind()
        with inner.app_context():
            assert db_session.get_bind() is engine_of(inner)
        assert db_session.get_bind() is before is engine_of(outer)


def test_an_app_without_an_engine_says_what_to_call(database_uri: str) -> None:
    init_engine(database_uri)

    with (
        Flask("bare").app_context(),
        pytest.raises(UnboundError, match=r"'bare' has no engine. Call init_engine\(uri, app=app\)"),
    ):
        db_session.execute(text("SELECT 1"))


def test_if_init_engine_raises_nothing_has_changed(app: Flask, database_uri: str) -> None:
    before = engine_of(app)
    for wrong in ({"no_such_option": 1}, {"session_options": {"no_such_option": 1}}):
        with pytest.raises(TypeError, match="no_such_option"):
            init_engine(database_uri, app=app, **wrong)

    assert engine_of(app) is before


def test_an_option_given_to_db_session_replaces_the_default(app: Flask) -> None:
    with app.app_context(), get_engine().connect() as connection:
        session = db_session(bind=connection, autoflush=False)

        assert session.get_bind() is connection
        assert session.get_bind(clause=text("SELECT 1")) is connection
        assert not session.autoflush


def test_a_mapper_may_have_a_bind_of_its_own(app: Flask) -> None:
    with app.app_context(), get_engine().connect() as connection:
        db_session().bind_mapper(Marker, connection)

        assert db_session.get_bind(Marker) is db_session.get_bind(mapper=Marker) is connection
        assert db_session.get_bind() is get_engine()


def test_a_relative_sqlite_path_is_in_the_instance_folder_of_the_app(tmp_path: Path) -> None:
    app = Flask("bare", instance_path=str(tmp_path))

    assert init_engine("sqlite:///ledger.db", app=app).url.database == str(tmp_path / "ledger.db")


AT_EXIT = """
import sys
from flask import Flask
from sqlalchemy import event
from app.database import init_engine

app = Flask("bare")
for owner in (app, None):
    engine = init_engine(sys.argv[1], app=owner, behind_pooler=sys.argv[2] == "True")
    event.listen(engine, "close", lambda *_: print("closed"))
    engine.connect().close()
"""


def test_at_exit_engines_are_disposed_of(database_uri: str) -> None:
    command = [
        sys.executable,
        "-c",
        AT_EXIT,
        database_uri,
        str((make_engine.__kwdefaults__ or {})["behind_pooler"]),
    ]
    ended = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30)

    assert (ended.stdout, ended.stderr) == ("closed\nclosed\n", "")


def test_create_all_and_drop_all_use_the_engine_of_the_context(
    app: Flask, make_app: Callable[..., Flask], other_database_uri: str
) -> None:
    make_app(other_database_uri)
    with app.app_context():
        table = Table("of_the_base", Base.metadata, Column("id", Integer, primary_key=True))
        try:
            create_all()
            assert inspect(get_engine()).has_table("of_the_base")
            # This read would block DROP TABLE on a server.
            db_session.execute(select(table))
            drop_all()
            assert not inspect(get_engine()).has_table("of_the_base")
        finally:
            Base.metadata.remove(table)
