"""Promises 8 and 9: the session's options and its events."""

from collections.abc import Callable, Iterator

import pytest
from flask import Flask
from sqlalchemy import event, inspect, text

from app.database import db_session, init_engine

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
