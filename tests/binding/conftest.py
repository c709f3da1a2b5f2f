"""What the tests of the binding share: a table of their own, and apps on one database or two."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from app import create_app, database

from .marker import Base, engine_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flask import Flask
    from flask.testing import FlaskClient


@pytest.fixture(autouse=True)
def no_engine_of_another_test() -> None:
    """Outside contexts, what counts is how many engines live: each test starts with none."""
    database.db_session.remove()
    for binding in list(database._live.values()):  # noqa: SLF001 - no app is left to ask
        binding.bind(None)


@pytest.fixture
def make_app(database_uri: str) -> Iterator[Callable[..., Flask]]:
    """Make an app on the test's database, or on the one whose URI is given.

    What a test did outside contexts is removed after it, as a script would at its end.
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
