"""Promises 2 and 4: the engine connects on first use and belongs to its app."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from flask import Flask, current_app
from sqlalchemy import Column, Integer, Table, event, inspect, select, text

from app import create_app
from app.database import Base, UnboundError, create_all, db_session, drop_all, get_engine, init_engine

from .marker import Marker, engine_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_init_engine_returns_the_apps_engine_with_the_options_given(database_uri: str) -> None:
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


def test_the_engine_can_be_had_from_current_app(app: Flask) -> None:
    with app.app_context():
        assert db_session.get_bind() is get_engine() is current_app.extensions["database"].engine


def test_several_apps_live_side_by_side_and_the_last_does_not_win(
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


def test_a_context_inside_another_apps_context_has_its_own_engine(
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


def test_a_refused_option_leaves_the_engine_as_it_was(app: Flask, database_uri: str) -> None:
    before = engine_of(app)
    for wrong in ({"no_such_option": 1}, {"session_options": {"no_such_option": 1}}):
        with pytest.raises(TypeError, match="no_such_option"):
            init_engine(database_uri, app=app, **wrong)

    assert engine_of(app) is before


def test_an_option_of_the_sessions_own_wins(app: Flask) -> None:
    with app.app_context(), get_engine().connect() as connection:
        session = db_session(bind=connection, autoflush=False)

        assert session.get_bind() is connection
        assert session.get_bind(clause=text("SELECT 1")) is connection
        assert not session.autoflush


def test_a_bind_of_a_class_is_looked_up_as_sqlalchemy_does(app: Flask) -> None:
    with app.app_context(), get_engine().connect() as connection:
        db_session().bind_mapper(Marker, connection)

        assert db_session.get_bind(Marker) is db_session.get_bind(mapper=Marker) is connection
        assert db_session.get_bind() is get_engine()


def test_a_relative_sqlite_path_is_one_in_the_apps_instance_folder(tmp_path: Path) -> None:
    app = Flask("bare", instance_path=str(tmp_path))

    assert init_engine("sqlite:///ledger.db", app=app).url.database == str(tmp_path / "ledger.db")


def test_create_all_and_drop_all_are_for_the_contexts_engine(
    app: Flask, make_app: Callable[..., Flask], other_database_uri: str
) -> None:
    make_app(other_database_uri)
    with app.app_context():
        table = Table("of_the_base", Base.metadata, Column("id", Integer, primary_key=True))
        try:
            create_all()
            assert inspect(get_engine()).has_table("of_the_base")
            # Its read would keep a server from dropping the table.
            db_session.execute(select(table))
            drop_all()
            assert not inspect(get_engine()).has_table("of_the_base")
        finally:
            Base.metadata.remove(table)
