"""Promises 8 and 9: the session's options and its events."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import create_engine, event, inspect, text

from app.database import db_session, get_engine, init_engine, session_removed

from .marker import Marker, engine_of

COUNT = text("SELECT count(*) FROM marker")


@pytest.fixture
def counted() -> Iterator[list[int]]:
    flushes: list[int] = []

    def count(*_: object) -> None:
        flushes.append(1)

    event.listen(db_session, "after_flush", count)
    yield flushes
    event.remove(db_session, "after_flush", count)


def test_autoflush_is_explicitly_on(app: Flask) -> None:
    with app.app_context():
        db_session.add(Marker(name="pending"))
        assert db_session.scalar(COUNT) == 1
    assert db_session.session_factory.kw["autoflush"] is True


def test_expire_on_commit_is_explicitly_on(app: Flask) -> None:
    with app.app_context():
        marker = Marker(name="committed")
        db_session.add(marker)
        db_session.commit()
        assert inspect(marker).expired
    assert db_session.session_factory.kw["expire_on_commit"] is True


def test_both_can_be_configured_for_an_app(make_app: Callable[..., Flask], other_database_uri: str) -> None:
    app = make_app(DATABASE_SESSION_OPTIONS={"autoflush": False, "expire_on_commit": False})
    other = make_app(other_database_uri)
    with app.app_context():
        marker = Marker(name="pending")
        db_session.add(marker)
        assert db_session.scalar(COUNT) == 0
        db_session.commit()
        assert not inspect(marker).expired
    with other.app_context():
        assert db_session.autoflush


def test_a_model_can_be_bound_to_another_engine(
    make_app: Callable[..., Flask], other_database_uri: str
) -> None:
    elsewhere = engine_of(make_app(other_database_uri))
    app = make_app(DATABASE_SESSION_OPTIONS={"binds": {Marker: elsewhere}})
    with app.app_context():
        assert db_session().get_bind(Marker) is elsewhere
        assert db_session.get_bind() is engine_of(app)


def test_the_engine_is_not_a_session_option(make_app: Callable[..., Flask], app: Flask) -> None:
    with pytest.raises(TypeError, match="bind"):
        make_app(DATABASE_SESSION_OPTIONS={"bind": engine_of(app)})


def test_a_listener_is_called_once_however_often_the_engine_is_replaced(
    app: Flask, database_uri: str, other_database_uri: str, counted: list[int]
) -> None:
    for uri in (other_database_uri, database_uri) * 2:
        init_engine(uri, app=app)
    with app.app_context():
        db_session.add(Marker(name="flushed"))
        db_session.flush()

        assert counted == [1]


def test_a_listener_is_called_for_every_app(
    make_app: Callable[..., Flask], other_database_uri: str, counted: list[int]
) -> None:
    for app in (make_app(), make_app(other_database_uri)):
        with app.app_context():
            db_session.add(Marker(name="flushed"))
            db_session.flush()

    assert counted == [1, 1]


OPTIONS: dict[str, Any] = {"schema_translate_map": {"nowhere": None}}


def test_an_option_engine_counts_as_its_engine(make_app: Callable[..., Flask]) -> None:
    app = make_app(DATABASE_SESSION_OPTIONS={"expire_on_commit": False})
    removed: list[object] = []

    def receive(engine: object, **_: object) -> None:
        removed.append(engine)

    session_removed.connect(receive)
    with app.app_context():
        option = get_engine().execution_options(**OPTIONS).execution_options(logging_token="tenant")
        assert db_session(bind=option).scalar(COUNT) == 0
        assert not db_session().expire_on_commit
        db_session.remove()
        db_session.bind = option
        assert db_session.scalar(COUNT) == 0
        db_session.commit()
    assert removed == [engine_of(app)] * 2


def test_an_option_engine_of_a_disposed_engine_counts_as_its_engine(make_app: Callable[..., Flask]) -> None:
    app = make_app(DATABASE_SESSION_OPTIONS={"expire_on_commit": False})
    with app.app_context():
        get_engine().dispose()
        assert not db_session(bind=get_engine().execution_options(**OPTIONS)).expire_on_commit


def test_a_configured_bind_needs_no_init_engine(database_uri: str) -> None:
    engine = create_engine(database_uri)
    with engine.connect() as connection:
        for bind in (engine, engine.execution_options(**OPTIONS), connection):
            db_session.configure(bind=bind)
            try:
                assert db_session.get_bind() is bind
                assert db_session.scalar(text("SELECT 1")) == 1
            finally:
                db_session.remove()
                db_session.configure(bind=None)
    engine.dispose()
