"""Promise 10: a pooled connection is as it was made, whatever its last user left on it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import Engine, event, insert, select, text

from app.database import db_session
from app.database.engines import make_engine
from app.database.reset import CHANGES, session_changes
from flask_sqlalchemy_testbed.backends import Backend
from flask_sqlalchemy_testbed.databases import Database

from .marker import Base, Marker

# Statements that change what a connection keeps, and a question that tells.
LEFT: dict[str, list[tuple[str, str]]] = {
    "sqlite": [
        ("PRAGMA foreign_keys = OFF", "PRAGMA foreign_keys"),
        ("PRAGMA main.cache_size(17)", "PRAGMA cache_size"),
        ("PRAGMA recursive_triggers=1", "PRAGMA recursive_triggers"),
        ("CREATE TEMP TABLE left_there (x)", "SELECT count(*) FROM temp.sqlite_master"),
    ],
    "postgresql": [
        ("SET search_path = pg_catalog", "SHOW search_path"),
        ("SELECT set_config('timezone', 'Asia/Tokyo', false)", "SHOW timezone"),
        (
            "SELECT set_config('app.tenant', 'x', false)",
            "SELECT coalesce(current_setting('app.tenant', true), '')",
        ),
        ("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "SHOW default_transaction_read_only"),
        ("DO $$ BEGIN SET work_mem = '70kB'; END $$", "SHOW work_mem"),
        ("/* why */ SET work_mem = '70kB'", "SHOW work_mem"),
        ("SELECT 1; SET work_mem = '70kB'", "SHOW work_mem"),
        ("LISTEN left_there", "SELECT count(*) FROM pg_listening_channels()"),
        (
            "SELECT pg_advisory_lock(7)",
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()",
        ),
        (
            "CREATE TEMPORARY TABLE left_there (x int)",
            "SELECT count(*) FROM pg_class WHERE relname = 'left_there'",
        ),
        ("SELECT 1 AS x INTO TEMP left_there", "SELECT count(*) FROM pg_class WHERE relname = 'left_there'"),
        ("PREPARE left_there AS SELECT 1", "SELECT count(*) FROM pg_prepared_statements WHERE from_sql"),
        (
            "DECLARE left_there CURSOR WITH HOLD FOR SELECT 1",
            "SELECT count(*) FROM pg_cursors WHERE is_holdable",
        ),
    ],
    "mysql": [
        ("SET SESSION sql_mode = ''", "SELECT @@sql_mode"),
        ("SET NAMES latin1", "SELECT @@character_set_client"),
        ("set foreign_key_checks=0", "SELECT @@foreign_key_checks"),
        ("SET SESSION TRANSACTION READ ONLY", "SELECT @@transaction_read_only"),
        ("/*!40101 SET time_zone = '+09:00' */", "SELECT @@time_zone"),
        ("-- why\nSET time_zone = '+09:00'", "SELECT @@time_zone"),
        ("SET @left_there = 1", "SELECT @left_there"),
        ("SELECT @left_there := 1", "SELECT @left_there"),
        ("SELECT 1 INTO @left_there", "SELECT @left_there"),
        ("USE information_schema", "SELECT DATABASE()"),
        (
            "SELECT get_lock('left_there', 0)",
            "SELECT coalesce(is_used_lock('left_there') = connection_id(), 0)",
        ),
    ],
}
LEFT["mariadb"] = [
    (statement, question.replace("@@transaction_read_only", "@@tx_read_only"))
    for statement, question in LEFT["mysql"]
]

# Statements that change nothing, or only their own transaction.
ORDINARY: dict[str, list[str]] = {
    "sqlite": ["PRAGMA table_info('marker')", "PRAGMA foreign_keys", "UPDATE marker SET name = 'x'"],
    "postgresql": [
        "SET LOCAL search_path = pg_catalog",
        "SET TRANSACTION READ ONLY",
        "SELECT set_config('app.tenant', 'x', true)",
        "SELECT pg_advisory_xact_lock(1)",
        "UPDATE marker\nSET name = 'temp'",
    ],
    "mysql": [
        "SET TRANSACTION READ ONLY",
        "SELECT 1 FROM marker LOCK IN SHARE MODE",
        "UPDATE marker\nSET name = 'a@b.example'",
        "SELECT @@sql_mode",
    ],
}
ORDINARY["mariadb"] = [*ORDINARY["mysql"], "SET STATEMENT max_statement_time = 9 FOR SELECT 1"]

# A setting, and the question for it.
SETTING = {
    "sqlite": ("PRAGMA cache_size = 17", "PRAGMA cache_size"),
    "postgresql": ("SET work_mem = '77kB'", "SHOW work_mem"),
    "mysql": ("SET div_precision_increment = 7", "SELECT @@div_precision_increment"),
}


@pytest.fixture
def make_pooled(database_uri: str) -> Iterator[Callable[..., Engine]]:
    """Make an engine with one connection, which every user gets."""
    made = []

    def make(**options: Any) -> Engine:
        made.append(make_engine(database_uri, pool_size=1, max_overflow=0, **options))
        return made[-1]

    yield make
    for engine in made:
        engine.dispose()


@pytest.fixture
def pooled(make_pooled: Callable[..., Engine]) -> Engine:
    engine = make_pooled()
    Base.metadata.create_all(engine)
    return engine


def ask(engine: Engine, question: str) -> object:
    with engine.connect() as connection:
        return connection.scalar(text(question))


@pytest.mark.testbed_needs("own-sessions")
def test_what_a_user_leaves_on_a_connection_does_not_reach_the_next(
    pooled: Engine, testbed_backend: Backend
) -> None:
    for statement, question in testbed_backend.of(LEFT):
        before = ask(pooled, question)
        # A change of foreign_keys has no effect in a transaction.
        with pooled.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql(statement)
            assert connection.scalar(text(question)) != before, statement

        assert ask(pooled, question) == before, statement


@pytest.mark.testbed_needs("own-sessions")
def test_what_a_request_leaves_on_its_connection_does_not_reach_the_next(
    make_app: Callable[..., Flask], testbed_backend: Backend
) -> None:
    app = make_app(DATABASE_ENGINE_OPTIONS={"pool_size": 1, "max_overflow": 0})
    statement, question = testbed_backend.of(SETTING)

    @app.get("/set")
    def set_it() -> str:
        db_session.execute(text(statement))
        db_session.commit()
        return ""

    app.add_url_rule("/ask", view_func=lambda: str(db_session.scalar(text(question))))
    client = app.test_client()
    before = client.get("/ask").text
    client.get("/set")

    assert client.get("/ask").text == before


def test_a_connection_with_ordinary_statements_is_not_reset(pooled: Engine, testbed_backend: Backend) -> None:
    resets: list[object] = []
    ask(pooled, "SELECT 1")
    event.listen(pooled, "connect", lambda *_: resets.append(1))
    for statement in testbed_backend.of(ORDINARY):
        with pooled.connect() as connection:
            connection.exec_driver_sql(statement)

    assert resets == []


@pytest.mark.parametrize("name", sorted(set(CHANGES) - {"mariadb"}))
def test_statements_are_told_apart_without_a_server(name: str) -> None:
    changes = session_changes(CHANGES[name])

    assert [statement for statement, _ in LEFT[name] if not changes(statement)] == []
    assert [statement for statement in ORDINARY[name] if changes(statement)] == []


@pytest.mark.parametrize(
    "statement",
    [
        "LOCK TABLES marker READ",
        "FLUSH TABLES WITH READ LOCK",
        "HANDLER marker OPEN",
        "PREPARE p FROM 'SELECT 1'",
        "CREATE TEMPORARY TABLE t (x INTEGER)",
        "CALL p(@result)",
        "LOAD DATA INFILE 'f' INTO TABLE t (@x)",
    ],
)
def test_mysql_keeps_other_things_that_are_not_settings(statement: str) -> None:
    assert session_changes(CHANGES["mysql"])(statement)


@pytest.mark.testbed_needs("own-sessions")
def test_the_settings_of_connect_listeners_outlive_a_reset(pooled: Engine, testbed_backend: Backend) -> None:
    setting, question = testbed_backend.of(SETTING)
    changed, _ = testbed_backend.of(LEFT)[0]

    @event.listens_for(pooled, "connect")
    def connected(connection: Any, _: object) -> None:
        cursor = connection.cursor()
        cursor.execute(setting)
        cursor.close()

    pooled.dispose()
    before = ask(pooled, question)
    with pooled.begin() as connection:
        connection.exec_driver_sql(changed)

    assert ask(pooled, question) == before
    assert str(before) in {"17", "77kB", "7"}


@pytest.mark.testbed_needs("own-sessions")
def test_on_request_every_connection_is_reset(
    make_pooled: Callable[..., Engine], testbed_backend: Backend
) -> None:
    engine = make_pooled(reset_always=True)
    setting, question = testbed_backend.of(SETTING)
    before = ask(engine, question)
    with engine.connect() as connection:
        connection.connection.cursor().execute(setting)
        connection.commit()
        assert connection.scalar(text(question)) != before

    assert ask(engine, question) == before


def test_a_setting_for_the_next_transaction_ends_with_the_request(
    pooled: Engine, testbed_backend: Backend
) -> None:
    with pooled.connect() as connection:
        connection.exec_driver_sql(
            {"sqlite": "SELECT 1"}.get(testbed_backend.name, "SET TRANSACTION READ ONLY")
        )

    with pooled.begin() as connection:
        connection.execute(insert(Marker).values(name="written"))


@pytest.mark.testbed_needs("server", "own-sessions")
def test_a_connection_that_cannot_be_reset_is_replaced(
    pooled: Engine, testbed_backend: Backend, testbed_database: Database
) -> None:
    setting, question = testbed_backend.of(SETTING)
    before = ask(pooled, question)
    with pooled.connect() as connection:
        connection.exec_driver_sql(setting)
        connection.commit()
        testbed_database.terminate(testbed_database.sessions())

    assert ask(pooled, question) == before


def test_statements_that_the_driver_prepares_outlive_a_reset(
    pooled: Engine, testbed_backend: Backend
) -> None:
    for _ in range(3):
        with pooled.connect() as connection:
            for number in range(7):
                assert connection.scalar(select(Marker.name).where(Marker.id == number)) is None
            connection.exec_driver_sql(testbed_backend.of(SETTING)[0])
            connection.commit()
