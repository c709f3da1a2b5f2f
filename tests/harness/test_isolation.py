"""Each test finds the database as its schema left it, also after commits of other tests."""

import contextlib
import random
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Enum,
    ForeignKey,
    Integer,
    MetaData,
    NullPool,
    String,
    Table,
    create_engine,
    inspect,
    text,
)

from flask_sqlalchemy_testbed.backends import BACKENDS
from flask_sqlalchemy_testbed.isolation import Isolation
from flask_sqlalchemy_testbed.servers.network import Server
from flask_sqlalchemy_testbed.statements import Statements
from tests.harness.kinds import BUILT, KINDS
from tests.harness.projects import Project

SEEDS = range(2)
ROUNDS = 6
WITHIN = 30.0
KEPT = MetaData()
parents = Table(
    "parents",
    KEPT,
    Column("id", Integer, primary_key=True),
    Column("favourite", ForeignKey("children.id", use_alter=True, name="favourite")),
    Column("mood", Enum("good", "bad", name="mood")),
)
children = Table(
    "children",
    KEPT,
    Column("id", Integer, primary_key=True),
    Column("parent", ForeignKey("parents.id", ondelete="RESTRICT"), nullable=False),
    Column("name", String(20), unique=True),
    sqlite_autoincrement=True,
)
kinds = Table("kinds", KEPT, Column("id", Integer, primary_key=True), Column("name", String(20)))
CIRCLE = (
    "INSERT INTO parents (id) VALUES (1)",
    "INSERT INTO children (id, parent) VALUES (1, 1)",
    "UPDATE parents SET favourite = 1",
)
EXTRA = "CREATE TABLE extra (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parents (id))"
VIEW = "CREATE VIEW seen AS SELECT id FROM parents"
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
    EXTRA,
    VIEW,
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
    "CREATE TYPE weather AS ENUM ('rain', 'sun')",
    "CREATE RULE quiet AS ON DELETE TO parents DO INSTEAD NOTHING",
    "CREATE TRIGGER more AFTER DELETE ON parents FOR EACH ROW INSERT INTO kinds (id) VALUES (77)",
    "CREATE TRIGGER more AFTER DELETE ON parents BEGIN INSERT INTO kinds (id) VALUES (77); END",
    "CREATE PROCEDURE hide() CREATE TABLE hidden (id INT)",
    "CALL hide()",
    "PRAGMA user_version = 7",
]
# SQLAlchemy's inspection does not show these; each backend refuses the other backends' queries.
QUERIES = [
    "SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY name",
    "SELECT user_version FROM pragma_user_version",
    "SELECT * FROM sqlite_sequence",
    "SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = database()",
    "SELECT routine_name FROM information_schema.routines WHERE routine_schema = database()",
    "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal",
    "SELECT typname FROM pg_type WHERE typtype = 'e'",
    "SELECT tablename, rulename FROM pg_rules WHERE schemaname = 'public'",
    "SELECT sequencename, start_value, increment_by FROM pg_sequences ORDER BY 1",
    "SELECT last_value, is_called FROM children_id_seq",
    "SELECT last_value, is_called FROM parents_id_seq",
]


def make_tables(uri: str) -> None:
    engine = create_engine(uri, poolclass=NullPool)
    KEPT.create_all(engine)
    with engine.begin() as connection:
        connection.execute(kinds.insert(), [{"id": 1, "name": "first"}])


def make_objects(uri: str) -> None:
    """Create the tables and an object of each kind that a test may alter."""
    make_tables(uri)
    engine = create_engine(uri, poolclass=NullPool)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for statement in BACKENDS[engine.dialect.name].of(BUILT):
            connection.execute(text(statement.format(database=engine.url.database)))


@pytest.fixture(scope="module")
def new(testbed_server: Server) -> Iterator[Callable[[], Isolation]]:
    """Yield a function that creates a database."""
    made: list[Isolation] = []
    statements = Statements()

    def make() -> Isolation:
        name = f"testbed_{secrets.token_hex(6)}_isolation"
        testbed_server.create(name)
        made.append(Isolation(testbed_server, name, statements))
        return made[-1]

    statements.install()
    yield make
    statements.remove()
    for isolation in made:
        isolation.database.connection.close()
        testbed_server.drop(isolation.database.name.rpartition("/")[2].removesuffix(".db"))


@pytest.fixture(scope="module")
def as_built(new: Callable[[], Isolation]) -> dict[str, Any]:
    """Return the contents of a database that no test has used."""
    fresh = new()
    make_tables(fresh.database.uri)
    return contents(fresh)


@pytest.fixture(scope="module", params=["server counts writes", "polling"])
def made(request: pytest.FixtureRequest, new: Callable[[], Isolation]) -> Isolation:
    """Return a database on a server that counts writes, and on one that does not."""
    made = new()
    if request.param == "polling":
        made.database.backend = replace(made.database.backend, track_writes=lambda _connection, _built: None)
    return made


@pytest.fixture
def isolation(made: Isolation) -> Isolation:
    made.clean(make_tables)
    return made


@pytest.fixture
def engine(isolation: Isolation) -> Iterator[Engine]:
    engine = create_engine(isolation.database.uri)
    yield engine
    engine.dispose()


@pytest.mark.parametrize(
    "statements",
    [
        CIRCLE[:2],
        CIRCLE,
        ("DELETE FROM kinds", "INSERT INTO kinds (id, name) VALUES (2, 'second')"),
        (EXTRA, VIEW, "INSERT INTO extra (id) VALUES (1)"),
        ("DROP TABLE kinds",),
        ("ALTER TABLE kinds ADD COLUMN colour VARCHAR(20)",),
        ("ALTER TABLE kinds RENAME TO sorts",),
        ("CREATE UNIQUE INDEX by_name ON kinds (name)",),
    ],
)
def test_a_change_is_undone(
    isolation: Isolation, as_built: dict[str, Any], engine: Engine, statements: tuple[str, ...]
) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
    assert contents(isolation) != as_built
    engine.dispose()

    isolation.clean(make_tables)

    assert contents(isolation) == as_built


def test_every_kind_of_object_is_as_built(isolation: Isolation) -> None:
    database = isolation.database
    wrong = {}
    for kind in database.backend.of(KINDS):
        isolation.clean(make_objects)
        built = shown(isolation, kind.query)
        engine = create_engine(database.uri)
        for statement in kind.statements:
            with engine.begin() as connection:
                connection.execute(text(statement.format(database=database.name)))
        assert shown(isolation, kind.query) != built, kind.name
        engine.dispose()
        isolation.clean(make_objects)
        if (left := shown(isolation, kind.query)) != built:
            wrong[kind.name] = left

    assert wrong == {}


@pytest.mark.testbed_needs("embedded")
def test_the_journal_mode_is_as_built_unless_a_connection_is_open(new: Callable[[], Isolation]) -> None:
    isolation = new()
    isolation.clean(make_tables)
    engine = create_engine(isolation.database.uri)
    execute(engine, ["PRAGMA journal_mode = wal", "INSERT INTO parents (id) VALUES (1)"])
    isolation.clean(make_tables)
    assert shown(isolation, "PRAGMA journal_mode") == ["('wal',)"]

    engine.dispose()
    isolation.clean(make_tables)

    assert shown(isolation, "PRAGMA journal_mode") == ["('delete',)"]
    assert shown(isolation, "SELECT id FROM parents") == []


@pytest.mark.parametrize(
    "always", [pytest.param(False, marks=pytest.mark.testbed_needs("restarts-identities")), True]
)
def test_generated_keys_restart(isolation: Isolation, engine: Engine, *, always: bool) -> None:
    for _ in range(3):
        with engine.begin() as connection:
            connection.execute(parents.insert().values(id=1))
            key = connection.execute(children.insert().values(parent=1)).inserted_primary_key
        isolation.clean(make_tables, restart_identities=always)

        assert key == (1,)


@pytest.mark.parametrize(
    "statements",
    [
        ("INSERT INTO kinds (id, name) VALUES (9, 'x')", "UPDATE kinds SET name = 'x'"),
        ("SELECT * FROM kinds",),
    ],
)
def test_a_session_that_holds_a_lock_is_terminated_in_time(
    isolation: Isolation, as_built: dict[str, Any], engine: Engine, statements: tuple[str, ...]
) -> None:
    execute(engine, ["INSERT INTO parents (id) VALUES (1)"])
    holder = engine.connect()
    results = [holder.execute(text(statement)) for statement in statements]
    started = time.monotonic()
    isolation.clean(make_tables)

    assert time.monotonic() - started < 15
    del results
    holder.invalidate()
    holder.close()
    assert contents(isolation) == as_built


@pytest.mark.parametrize("seed", SEEDS)
def test_random_statements_are_undone(
    isolation: Isolation, as_built: dict[str, Any], engine: Engine, seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311 - no secret
    for number in range(ROUNDS):  # connections of the engine stay open from round to round
        statements = act(isolation, engine, chance)
        isolation.clean(make_tables)

        assert contents(isolation) == as_built, (seed, number, statements)


@pytest.mark.parametrize("delay", [0.0, 0.001, 0.01, 0.1])
def test_a_commit_during_the_cleaning_is_undone(
    isolation: Isolation, as_built: dict[str, Any], delay: float
) -> None:
    wrote, may_commit = threading.Event(), threading.Event()

    def commit_late() -> None:
        engine = create_engine(isolation.database.uri, poolclass=NullPool)
        with contextlib.suppress(Exception), engine.connect() as connection:
            connection.execute(text("INSERT INTO parents (id) VALUES (1)"))
            wrote.set()
            may_commit.wait(WITHIN)
            connection.commit()

    thread = threading.Thread(target=commit_late)
    thread.start()
    assert wrote.wait(WITHIN)
    threading.Timer(delay, may_commit.set).start()
    isolation.clean(make_tables)
    thread.join(WITHIN)

    assert contents(isolation) == as_built


def act(isolation: Isolation, engine: Engine, chance: random.Random) -> list[str]:
    """Execute up to five statements, and commit each unless it is refused."""
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


def shown(isolation: Isolation, query: str) -> list[str]:
    """Return the rows of the query as text, seen by a new connection."""
    engine = create_engine(isolation.database.uri, poolclass=NullPool)
    with engine.connect() as connection:
        return sorted(map(str, connection.execute(text(query))))


def contents(isolation: Isolation) -> dict[str, Any]:
    """Return the results of SQLAlchemy's inspection and of the queries, and all rows."""
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


def test_the_configured_tables_exist_and_the_mark_restarts_their_keys(project_here: Project) -> None:
    project_here.write(
        """
        from sqlalchemy import Column, Integer, MetaData, Table

        class Base:
            metadata = MetaData()

        Table("things", Base.metadata, Column("id", Integer, primary_key=True))
        """,
        "tables.py",
    )
    project_here.write(
        """
        import pytest
        from sqlalchemy import create_engine
        from tables import Base

        @pytest.mark.testbed_restart_identities
        @pytest.mark.parametrize("time", [1, 2])
        def test_it(database_uri, other_database_uri, time):
            for uri in database_uri, other_database_uri:
                engine = create_engine(uri)
                with engine.begin() as connection:
                    inserted = connection.execute(Base.metadata.tables["things"].insert())
                    assert inserted.inserted_primary_key == (1,)
                engine.dispose()
        """
    )
    outcome = project_here.run(
        "-o", "testbed_metadata=tables:Base.metadata", PYTHONPATH=str(project_here.path)
    )

    assert f"{2 * len(project_here.backends)} passed" in outcome.text


def test_a_fixture_may_create_the_schema(project_here: Project) -> None:
    project_here.write(
        """
        import pytest
        from sqlalchemy import create_engine, text

        def execute(uri, *statements):
            engine = create_engine(uri)
            with engine.begin() as connection:
                results = [connection.execute(text(statement)) for statement in statements]
            engine.dispose()
            return results

        @pytest.fixture(scope="session")
        def testbed_schema():
            return lambda uri: execute(uri, "CREATE TABLE kinds (id INTEGER)", "INSERT INTO kinds VALUES (7)")

        @pytest.mark.parametrize("time", [1, 2])
        def test_it(database_uri, time):
            assert execute(database_uri, "UPDATE kinds SET id = 8 WHERE id = 7")[0].rowcount == 1
        """
    )
    outcome = project_here.run()

    assert f"{2 * len(project_here.backends)} passed" in outcome.text
