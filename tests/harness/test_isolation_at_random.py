"""After random statements over any connection, cleaning restores the database to its built state."""

from __future__ import annotations

import contextlib
import random
import secrets
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import NullPool, create_engine, inspect, text

from flask_sqlalchemy_testbed.isolation import Isolation
from tests.harness.test_isolation import make_tables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Connection, Engine

    from flask_sqlalchemy_testbed.servers.network import Server

SEEDS = range(2)
ROUNDS = 6
WITHIN = 30.0
WRITES = [
    "INSERT INTO parents (id) VALUES ({key})",
    "INSERT INTO children (id, parent, name) VALUES ({key}, {key}, 'c{key}')",
    "INSERT INTO children (parent) SELECT id FROM parents",
    "UPDATE parents SET favourite = {key}",
    "UPDATE kinds SET name = 'again' WHERE id = {key}",
    "UPDATE kinds SET name = name",
    "INSERT INTO kinds (id, name) VALUES ({key}, 'more')",
    "DELETE FROM kinds",
    "DELETE FROM children",
    "SELECT count(*) FROM kinds",
]
# Each backend refuses those that it does not know, which changes nothing.
OTHERS = [
    "CREATE TABLE extra (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parents (id))",
    "CREATE VIEW seen AS SELECT id FROM parents",
    "ALTER TABLE kinds ADD COLUMN colour VARCHAR(20)",
    "ALTER TABLE kinds RENAME COLUMN name TO title",
    "ALTER TABLE kinds ALTER COLUMN name SET DEFAULT 'x'",
    "CREATE INDEX by_name ON kinds (name)",
    "DROP TABLE kinds",
    "TRUNCATE TABLE kinds",
    "TRUNCATE TABLE children CASCADE",
    "REPLACE INTO kinds (id, name) VALUES (1, 'replaced')",
    "SELECT nextval('children_id_seq')",
    "SELECT setval('children_id_seq', 99, false)",
    "ALTER SEQUENCE children_id_seq RESTART WITH 50",
    "ALTER SEQUENCE children_id_seq INCREMENT 5",
    "CREATE RULE quiet AS ON DELETE TO parents DO INSTEAD NOTHING",
    "CREATE TRIGGER more AFTER DELETE ON parents FOR EACH ROW INSERT INTO kinds (id) VALUES (77)",
    "CREATE TRIGGER more AFTER DELETE ON parents BEGIN INSERT INTO kinds (id) VALUES (77); END",
    "CREATE PROCEDURE hide() CREATE TABLE hidden (id INT)",
    "CALL hide()",
    "PRAGMA user_version = 7",
]
# What SQLAlchemy's inspection does not show; each backend refuses the other backends' queries.
QUERIES = [
    "SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY name",
    "SELECT user_version FROM pragma_user_version",
    "SELECT * FROM sqlite_sequence",
    "SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = database()",
    "SELECT routine_name FROM information_schema.routines WHERE routine_schema = database()",
    "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal",
    "SELECT tablename, rulename FROM pg_rules WHERE schemaname = 'public'",
    "SELECT sequencename, start_value, increment_by FROM pg_sequences ORDER BY 1",
    "SELECT last_value, is_called FROM children_id_seq",
    "SELECT last_value, is_called FROM parents_id_seq",
]


@pytest.fixture(scope="module")
def new(testbed_server: Server) -> Iterator[Callable[[], Isolation]]:
    """A function that creates a database."""
    made: list[Isolation] = []

    def make() -> Isolation:
        name = f"testbed_{secrets.token_hex(6)}_random"
        testbed_server.create(name)
        made.append(Isolation(testbed_server, name))
        return made[-1]

    yield make
    for isolation in made:
        isolation.database.connection.close()
        testbed_server.drop(isolation.database.name.rpartition("/")[2].removesuffix(".db"))


@pytest.fixture(scope="module")
def as_built(new: Callable[[], Isolation]) -> dict[str, Any]:
    """The contents of a database that no test has used."""
    fresh = new()
    make_tables(fresh.database.uri)
    return contents(fresh)


@pytest.fixture(scope="module", params=["server counts writes", "polling"])
def isolation(request: pytest.FixtureRequest, new: Callable[[], Isolation]) -> Isolation:
    """A database on a server that counts writes, and on one that does not."""
    made = new()
    if request.param == "polling":
        made.database.backend = replace(made.database.backend, track_writes=lambda _connection, _built: None)
    return made


@pytest.mark.parametrize("seed", SEEDS)
def test_random_statements_are_undone(isolation: Isolation, as_built: dict[str, Any], seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - no secret
    isolation.clean(make_tables)
    engine = create_engine(isolation.database.uri)  # its connections stay open from round to round
    try:
        for number in range(ROUNDS):
            statements = act(isolation, engine, chance)
            isolation.clean(make_tables)
            assert contents(isolation) == as_built, (seed, number, statements)
    finally:
        engine.dispose()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_commit_during_the_cleaning_is_undone(
    isolation: Isolation, as_built: dict[str, Any], seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311 - no secret
    engine = create_engine(isolation.database.uri, poolclass=NullPool)
    for _ in range(ROUNDS // 2):
        isolation.clean(make_tables)
        wrote, may_commit = threading.Event(), threading.Event()

        def late(wrote: threading.Event = wrote, may_commit: threading.Event = may_commit) -> None:
            with contextlib.suppress(Exception), engine.connect() as connection:
                connection.execute(text("INSERT INTO parents (id) VALUES (1)"))
                wrote.set()
                may_commit.wait(WITHIN)
                connection.commit()

        thread = threading.Thread(target=late)
        thread.start()
        assert wrote.wait(WITHIN)
        timer = threading.Timer(chance.choice([0.0, 0.001, 0.01, 0.1]), may_commit.set)
        timer.start()
        isolation.clean(make_tables)
        thread.join(WITHIN)

        assert contents(isolation) == as_built


def act(isolation: Isolation, engine: Engine, chance: random.Random) -> list[str]:
    """Execute up to five statements over one kind of connection, and commit each unless it is refused."""
    statements = [
        statement.format(key=chance.randrange(1, 4))
        for _ in range(chance.randrange(6))
        for statement in [chance.choice(WRITES if chance.random() < 0.8 else OTHERS)]
    ]
    route = chance.choice(["harness", "pool", "new", "thread"])
    if route == "harness":
        for statement in statements:
            with contextlib.suppress(Exception):
                isolation.database.connection.rows(statement)
    elif route == "pool":
        execute(engine, statements)
    elif route == "new":
        execute(create_engine(isolation.database.uri, poolclass=NullPool), statements)
    else:
        thread = threading.Thread(target=execute, args=[engine, statements])
        thread.start()
        thread.join(WITHIN)
    return [route, *statements]


def execute(engine: Engine, statements: list[str]) -> None:
    for statement in statements:
        # A pooled connection may belong to a database that was dropped and created again.
        with contextlib.suppress(Exception), engine.begin() as connection:
            connection.execute(text(statement))


def contents(isolation: Isolation) -> dict[str, Any]:
    """Return all that SQLAlchemy's inspection and the queries show, and all rows."""
    engine = create_engine(isolation.database.uri, poolclass=NullPool)
    with engine.connect() as connection:
        inspector = inspect(connection)
        tables = inspector.get_table_names()
        return {
            "columns": {
                name: [
                    (column["name"], str(column["type"]), column["nullable"], str(column["default"]))
                    for column in inspector.get_columns(name)
                ]
                for name in tables
            },
            "indexes": {name: sorted(str(index) for index in inspector.get_indexes(name)) for name in tables},
            "views": inspector.get_view_names(),
            "rows": {name: queried(connection, f"SELECT * FROM {name}") for name in tables},  # noqa: S608
            "queries": [queried(connection, query) for query in QUERIES],
        }


def queried(connection: Connection, query: str) -> list[tuple[Any, ...]]:
    try:
        return sorted(map(tuple, connection.execute(text(query))))
    except Exception:  # noqa: BLE001 - another backend's query
        connection.rollback()
        return []
