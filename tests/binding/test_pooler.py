"""Promise 10: behind a pooler that shares the server's sessions, each transaction has the settings."""

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import Engine, event, make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app.database import LostSettingError, db_session
from app.database.engines import make_engine
from flask_sqlalchemy_testbed.databases import Database

from .marker import Marker

pytestmark = pytest.mark.testbed_needs("local-settings")

LIMIT, PATH = text("SHOW statement_timeout"), text("SHOW search_path")


def dropping(engine: Engine) -> Engine:
    """Have the engine connect as through a pooler that ignores the settings of its clients."""

    @event.listens_for(engine, "do_connect")
    def connecting(_dialect: object, _record: object, _args: object, arguments: dict[str, Any]) -> None:
        arguments["options"] = ""

    return engine


def test_each_transaction_has_the_settings(database_uri: str) -> None:
    engine = make_engine(database_uri, behind_pooler=True)
    for _ in range(2):
        with engine.connect() as connection:
            assert connection.scalar(LIMIT) == "30s"
            assert connection.scalar(text("SHOW timezone")) == "UTC"
    engine.dispose()


def test_no_setting_outlives_its_transaction(database_uri: str) -> None:
    engine = make_engine(database_uri, behind_pooler=True, pool_size=1, max_overflow=0)
    with engine.connect() as connection:
        connection.scalar(LIMIT)

    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        assert connection.scalar(LIMIT) == "0"
    engine.dispose()


@pytest.mark.parametrize("place", ["uri", "argument", "environment"])
def test_settings_of_the_caller_are_added(
    database_uri: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = r"-c statement_timeout=60s --search-path=public,\ pg_catalog"
    url, arguments = make_url(database_uri), {}
    if place == "uri":
        url = url.update_query_dict({"options": theirs})
    elif place == "argument":
        arguments = {"options": theirs}
    else:
        monkeypatch.setenv("PGOPTIONS", theirs)
    engine = make_engine(url, connect_args=arguments, behind_pooler=True)
    with engine.connect() as connection:
        found = connection.scalar(LIMIT), connection.scalar(PATH), connection.scalar(text("SHOW timezone"))
    engine.dispose()

    assert found == ("1min", "public, pg_catalog", "UTC")


def test_a_transaction_may_still_choose_its_isolation_level(database_uri: str) -> None:
    engine = make_engine(database_uri, behind_pooler=True)
    with engine.connect() as connection:
        connection.execute(text("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"))

        assert connection.scalar(text("SHOW transaction_isolation")) == "serializable"
    engine.dispose()


def test_a_prepared_transaction_has_the_settings(database_uri: str) -> None:
    engine = make_engine(database_uri, behind_pooler=True)
    with Session(engine, twophase=True) as session:
        assert session.scalar(LIMIT) == "30s"
    engine.dispose()


@pytest.mark.testbed_needs("own-sessions")
def test_a_connection_that_is_lost_at_the_begin_leaves_the_pool(
    database_uri: str, testbed_database: Database
) -> None:
    engine = make_engine(database_uri, behind_pooler=True, pool_pre_ping=False)
    with engine.connect() as connection:
        connection.scalar(LIMIT)
    testbed_database.terminate(testbed_database.sessions())

    with engine.connect() as connection, pytest.raises(DBAPIError) as caught:
        connection.scalar(LIMIT)
    assert caught.value.connection_invalidated
    with engine.connect() as connection:
        assert connection.scalar(LIMIT) == "30s"
    engine.dispose()


def test_a_session_of_the_app_has_the_settings(make_app: Callable[..., Flask]) -> None:
    app = make_app(DATABASE_ENGINE_OPTIONS={"behind_pooler": True})
    with app.app_context():
        db_session.add(Marker(name="behind"))
        db_session.flush()

        assert db_session.scalar(LIMIT) == "30s"


def test_options_that_are_no_settings_are_refused(database_uri: str) -> None:
    with pytest.raises(ValueError, match=r"options can hold settings alone .* Remove '-d 5'"):
        make_engine(database_uri, connect_args={"options": "-d 5"}, behind_pooler=True)


def test_a_server_without_the_limit_is_refused_at_the_first_connection(database_uri: str) -> None:
    engine = dropping(make_engine(database_uri, behind_pooler=False))
    for _ in range(2):
        with pytest.raises(LostSettingError, match=r"dropped statement_timeout\. Pass behind_pooler=True"):
            engine.connect()


@pytest.mark.testbed_needs("own-sessions")
def test_a_limit_of_the_role_or_of_the_caller_is_enough(
    database_uri: str, testbed_database: Database
) -> None:
    testbed_database.connection.rows(f"ALTER DATABASE {testbed_database.name} SET statement_timeout = '7s'")
    engine = dropping(make_engine(database_uri))
    with engine.connect() as connection:
        assert connection.scalar(LIMIT) == "7s"
    engine.dispose()
    without = make_engine(database_uri, connect_args={"options": "-c statement_timeout=0"})
    with without.connect() as connection:
        assert connection.scalar(LIMIT) == "0"
    without.dispose()
