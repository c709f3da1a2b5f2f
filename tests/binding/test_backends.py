"""Promise 10: each backend gets the settings that it needs, seen on a live connection."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import (
    Column,
    Engine,
    ForeignKey,
    Integer,
    MetaData,
    Table,
    func,
    insert,
    make_url,
    select,
    text,
    update,
)
from sqlalchemy.exc import DatabaseError, IntegrityError

from app.database.engines import make_engine
from flask_sqlalchemy_testbed.backends import Backend
from flask_sqlalchemy_testbed.databases import Database

from .marker import Base, Marker

# Questions to a connection, and the expected answers.
SETTINGS: dict[str, dict[str, object]] = {
    "sqlite": {"PRAGMA foreign_keys": 1, "PRAGMA journal_mode": "wal", "PRAGMA busy_timeout": 5000},
    "postgresql": {"SHOW timezone": "UTC", "SHOW statement_timeout": "30s", "SHOW client_encoding": "UTF8"},
    "mysql": {
        "SELECT @@time_zone": "+00:00",
        "SELECT @@character_set_connection": "utf8mb4",
        "SELECT @@character_set_client": "utf8mb4",
        "SELECT @@sql_mode LIKE '%STRICT_ALL_TABLES%'": 1,
        "SELECT @@sql_mode LIKE '%ONLY_FULL_GROUP_BY%'": 1,
        "SELECT @@innodb_lock_wait_timeout": 5,
        "SELECT @@lock_wait_timeout": 5,
        "SELECT @@max_execution_time": 25_000,
    },
}
SETTINGS["mariadb"] = {
    **{
        question: answer
        for question, answer in SETTINGS["mysql"].items()
        if "max_execution_time" not in question
    },
    "SELECT @@max_statement_time": Decimal(25),
}

# Arguments of the driver.
ARGUMENTS: dict[str, dict[str, object]] = {
    "sqlite": {"timeout": 5},
    "postgresql": {"connect_timeout": 5, "tcp_user_timeout": 30_000},
    "mysql": {"connect_timeout": 5, "read_timeout": 30, "write_timeout": 30},
}

# Execution options with which a connection sees the database as it was at its first read.
SNAPSHOT: dict[str, dict[str, Any]] = {
    "sqlite": {},
    "postgresql": {"isolation_level": "REPEATABLE READ"},
    "mysql": {"isolation_level": "REPEATABLE READ"},
}


@pytest.fixture
def engine(database_uri: str) -> Iterator[Engine]:
    engine = make_engine(database_uri)
    Base.metadata.create_all(engine)
    yield engine
    engine.dispose()


def test_a_connection_has_the_default_settings(engine: Engine, testbed_backend: Backend) -> None:
    with engine.connect() as connection:
        answers = {question: connection.scalar(text(question)) for question in testbed_backend.of(SETTINGS)}

    assert answers == testbed_backend.of(SETTINGS)


# The caller's own settings of a connection, and answers that show both these and the defaults.
ADDED: dict[str, tuple[dict[str, str], dict[str, object]]] = {
    "sqlite": ({}, {}),
    "postgresql": (
        {"options": "-c statement_timeout=60s"},
        {"SHOW statement_timeout": "1min", "SHOW timezone": "UTC"},
    ),
    "mysql": (
        {"init_command": "SET lock_wait_timeout = 300"},
        {"SELECT @@lock_wait_timeout": 300, "SELECT @@time_zone": "+00:00"},
    ),
}


@pytest.mark.parametrize("in_uri", [False, True])
def test_settings_of_the_caller_are_added_to_the_defaults(
    database_uri: str, testbed_backend: Backend, *, in_uri: bool
) -> None:
    settings, expected = testbed_backend.of(ADDED)
    url = make_url(database_uri)
    if in_uri:
        engine = make_engine(url.update_query_dict(settings))
    else:
        engine = make_engine(url, connect_args=settings)
    with engine.connect() as connection:
        answers = {question: connection.scalar(text(question)) for question in expected}
    engine.dispose()

    assert answers == expected


def test_the_driver_has_a_time_limit_to_connect_and_to_answer(
    database_uri: str, testbed_backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make_engine(database_uri)
    connect, arguments_seen = engine.dialect.connect, {}

    def spy(*arguments: object, **options: object) -> object:
        arguments_seen.update(options)
        return connect(*arguments, **options)

    monkeypatch.setattr(engine.dialect, "connect", spy)
    engine.connect().close()
    engine.dispose()

    assert testbed_backend.of(ARGUMENTS).items() <= arguments_seen.items()


def test_foreign_keys_are_enforced_on_every_connection(engine: Engine) -> None:
    metadata = MetaData()
    Table("parent", metadata, Column("id", Integer, primary_key=True))
    child = Table("child", metadata, Column("parent_id", ForeignKey("parent.id")))
    metadata.create_all(engine)
    with engine.connect() as first, engine.connect() as second:
        for connection in (first, second):
            with pytest.raises(IntegrityError):
                connection.execute(child.insert().values(parent_id=1))
            connection.rollback()


def test_a_rollback_undoes_a_released_savepoint(engine: Engine) -> None:
    with engine.connect() as connection:
        with connection.begin_nested():
            connection.execute(insert(Marker).values(name="nested"))
        connection.rollback()

    with engine.connect() as connection:
        assert connection.scalar(select(func.count(Marker.id))) == 0


def test_a_transaction_begins_with_its_first_read(engine: Engine, testbed_backend: Backend) -> None:
    with engine.connect() as other, engine.connect() as reader:
        reader.execution_options(**testbed_backend.of(SNAPSHOT))
        before = reader.scalar(select(func.count(Marker.id)))
        other.execute(insert(Marker).values(name="meanwhile"))
        other.commit()

        assert reader.scalar(select(func.count(Marker.id))) == before == 0


def test_a_reader_does_not_block_a_writer(engine: Engine) -> None:
    with engine.connect() as reader, engine.connect() as writer:
        reader.execute(select(func.count(Marker.id)))
        writer.execute(insert(Marker).values(name="written"))
        writer.commit()


def test_a_writer_waits_for_the_lock_of_another_writer(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(insert(Marker).values(id=1, name="contended"))
    begun = threading.Event()

    def write() -> None:
        with engine.connect().execution_options(sqlite_begin="IMMEDIATE") as other:
            begun.set()
            other.execute(update(Marker).values(name="second"))
            other.commit()

    with ThreadPoolExecutor(1) as thread:
        with engine.connect().execution_options(sqlite_begin="IMMEDIATE") as first:
            first.execute(update(Marker).values(name="first"))
            waiting = thread.submit(write)
            assert begun.wait(10)
            assert not waiting.done()
            first.commit()
        waiting.result(10)
    with engine.connect() as connection:
        assert connection.scalars(select(Marker.name)).all() == ["second"]


def test_any_unicode_is_read_as_it_was_written(engine: Engine) -> None:
    names = ["😀", "🦊", "Zoë", "日本語"]
    with engine.begin() as connection:
        connection.execute(insert(Marker), [{"name": name} for name in names])

    with engine.connect() as connection:
        assert connection.scalars(select(Marker.name).order_by(Marker.id)).all() == names


@pytest.mark.testbed_needs("server")
def test_text_that_is_too_long_is_refused_instead_of_truncated(engine: Engine) -> None:
    with engine.connect() as connection, pytest.raises(DatabaseError):
        connection.execute(insert(Marker).values(name="x" * 61))


@pytest.mark.testbed_needs("server")
def test_a_pooled_connection_that_the_server_has_closed_is_replaced(
    engine: Engine, testbed_database: Database
) -> None:
    with engine.connect():
        testbed_database.terminate(testbed_database.sessions())

    with engine.connect() as connection:
        assert connection.scalar(text("SELECT 1")) == 1


@pytest.mark.testbed_needs("embedded")
def test_without_a_server_there_is_no_pooler(database_uri: str) -> None:
    engine = make_engine(database_uri, behind_pooler=True)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT 1")) == 1
    engine.dispose()
