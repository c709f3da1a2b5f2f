"""Fixtures of the binding's tests: apps on one database or two, with a table."""

from collections.abc import Callable, Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app import create_app, database
from tests.pooled import documented_settings  # noqa: F401 - a fixture

from .marker import Base, engine_of


@pytest.fixture(autouse=True)
def no_engine_of_another_test() -> Iterator[None]:
    """Begin each test with no live engine, and leave none: code outside contexts needs exactly one."""
    database.db_session.remove()
    dispose_of_all()
    yield
    dispose_of_all()


def dispose_of_all() -> None:
    for engine in database.live_engines():
        engine.dispose()


@pytest.fixture
def make_app(database_uri: str) -> Iterator[Callable[..., Flask]]:
    """Create an app on the test's database, or on another URI.

    The session of the thread is removed after the test, as a script does at its end.
    """

    def make(uri: str = database_uri, **config: object) -> Flask:
        app = create_app({"DATABASE_URI": uri, **config})
        Base.metadata.create_all(engine_of(app))
        return app

    yield make
    database.db_session.remove()


@pytest.fixture
def app(make_app: Callable[..., Flask]) -> Flask:
    return make_app()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()
