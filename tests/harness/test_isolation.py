"""Each test finds the database as its schema left it, whatever earlier tests have committed."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import (
    Column,
    Enum,
    ForeignKey,
    Integer,
    MetaData,
    NullPool,
    String,
    Table,
    create_engine,
    func,
    inspect,
    select,
    text,
)
from sqlalchemy import table as sql_table

from flask_sqlalchemy_testbed.isolation import Isolation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

    from flask_sqlalchemy_testbed.servers.network import Server
    from tests.harness.projects import Project


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


def make_tables(uri: str) -> None:
    engine = create_engine(uri, poolclass=NullPool)
    KEPT.create_all(engine)
    with engine.begin() as connection:
        connection.execute(kinds.insert(), [{"id": 1, "name": "first"}])


@pytest.fixture(scope="module")
def made(testbed_server: Server) -> Iterator[Isolation]:
    """A database whose schema has three tables and one row."""
    name = f"testbed_{secrets.token_hex(6)}_isolation"
    testbed_server.create(name)
    isolation = Isolation(testbed_server, name)
    yield isolation
    isolation.database.connection.close()
    testbed_server.drop(name)


@pytest.fixture
def isolation(made: Isolation) -> Isolation:
    made.clean(make_tables)
    return made


@pytest.fixture
def engine(isolation: Isolation) -> Iterator[Engine]:
    engine = create_engine(isolation.database.uri)
    yield engine
    engine.dispose()


def run(engine: Engine, *statements: str) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


def tables(engine: Engine) -> list[str]:
    return sorted(inspect(engine).get_table_names())


def count(engine: Engine, table: str) -> int:
    with engine.connect() as connection:
        return connection.scalar(select(func.count()).select_from(sql_table(table))) or 0


def described(engine: Engine) -> list[object]:
    found = inspect(engine)
    return [
        (name, [c["name"] for c in found.get_columns(name)], found.get_indexes(name))
        for name in tables(engine)
    ]


def test_committed_rows_are_deleted_and_tables_stay(isolation: Isolation, engine: Engine) -> None:
    run(engine, "INSERT INTO parents (id) VALUES (1)", "INSERT INTO children (id, parent) VALUES (1, 1)")
    isolation.clean(make_tables)

    assert tables(engine) == ["children", "kinds", "parents"]
    assert (count(engine, "parents"), count(engine, "children")) == (0, 0)


def test_rows_that_refer_to_each_other_in_a_circle_are_deleted(isolation: Isolation, engine: Engine) -> None:
    run(
        engine,
        "INSERT INTO parents (id) VALUES (1)",
        "INSERT INTO children (id, parent) VALUES (1, 1)",
        "UPDATE parents SET favourite = 1",
    )
    isolation.clean(make_tables)

    assert (count(engine, "parents"), count(engine, "children")) == (0, 0)


def test_rows_of_the_schema_stay_or_are_restored(isolation: Isolation, engine: Engine) -> None:
    isolation.clean(make_tables)
    assert count(engine, "kinds") == 1

    engine.dispose()
    run(engine, "DELETE FROM kinds", "INSERT INTO kinds (id, name) VALUES (2, 'second')")
    isolation.clean(make_tables)
    engine.dispose()

    with engine.connect() as connection:
        assert [tuple(row) for row in connection.execute(kinds.select())] == [(1, "first")]


def test_tables_and_views_of_a_test_are_dropped(isolation: Isolation, engine: Engine) -> None:
    run(
        engine,
        "CREATE TABLE extra (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parents (id))",
        "CREATE VIEW seen AS SELECT id FROM extra",
        "INSERT INTO extra (id) VALUES (1)",
    )
    isolation.clean(make_tables)

    assert tables(engine) == ["children", "kinds", "parents"]
    assert inspect(engine).get_view_names() == []


def test_types_of_a_test_are_dropped(isolation: Isolation, engine: Engine) -> None:
    made = MetaData()
    Table(
        "moods",
        made,
        Column("id", Integer, primary_key=True),
        Column("mood", Enum("a", "b", name="moods_mood")),
    )
    for _ in range(2):
        made.create_all(engine, checkfirst=False)
        isolation.clean(make_tables)

    assert tables(engine) == ["children", "kinds", "parents"]


@pytest.mark.parametrize(
    "change",
    [
        "DROP TABLE kinds",
        "ALTER TABLE kinds ADD COLUMN colour VARCHAR(20)",
        "ALTER TABLE kinds RENAME TO sorts",
        "CREATE UNIQUE INDEX by_name ON kinds (name)",
    ],
)
def test_a_changed_table_of_the_schema_is_restored(isolation: Isolation, engine: Engine, change: str) -> None:
    before = described(engine)
    run(engine, change)
    assert described(engine) != before
    engine.dispose()
    isolation.clean(make_tables)

    assert described(engine) == before


@pytest.mark.testbed_needs("restarts-identities")
def test_generated_keys_restart(isolation: Isolation, engine: Engine) -> None:
    for _ in range(2):
        with engine.begin() as connection:
            connection.execute(parents.insert().values(id=1))
            key = connection.execute(children.insert().values(parent=1)).inserted_primary_key
        isolation.clean(make_tables)

        assert key == (1,)


def test_generated_keys_restart_on_every_backend_on_request(isolation: Isolation, engine: Engine) -> None:
    for _ in range(3):
        with engine.begin() as connection:
            connection.execute(parents.insert().values(id=1))
            key = connection.execute(children.insert().values(parent=1)).inserted_primary_key
        isolation.clean(make_tables, restart_identities=True)

        assert key == (1,)
    assert tables(engine) == ["children", "kinds", "parents"]
    assert count(engine, "children") == 0


def test_a_mark_restarts_generated_keys(project_here: Project) -> None:
    (project_here.path / "tables.py").write_text(
        "from sqlalchemy import Column, Integer, MetaData, Table\n"
        "metadata = MetaData()\n"
        "Table('things', metadata, Column('id', Integer, primary_key=True))\n"
    )
    project_here.write(
        """
        import pytest
        from sqlalchemy import create_engine
        from tables import metadata

        @pytest.mark.testbed_restart_identities
        @pytest.mark.parametrize("time", [1, 2])
        def test_it(database_uri, other_database_uri, time):
            for uri in database_uri, other_database_uri:
                engine = create_engine(uri)
                with engine.begin() as connection:
                    assert connection.execute(metadata.tables["things"].insert()).inserted_primary_key == (1,)
                engine.dispose()
        """
    )
    outcome = project_here.run("-o", "testbed_metadata=tables:metadata", PYTHONPATH=str(project_here.path))

    assert f"{2 * len(project_here.backends)} passed" in outcome.text


def test_a_session_that_holds_a_lock_is_terminated_in_time(isolation: Isolation, engine: Engine) -> None:
    holder = engine.connect()
    holder.execute(text("INSERT INTO kinds (id, name) VALUES (9, 'x')"))
    holder.execute(text("UPDATE kinds SET name = 'x'"))
    started = time.monotonic()
    isolation.clean(make_tables)

    assert time.monotonic() - started < 15
    holder.invalidate()
    holder.close()
    assert count(engine, "kinds") == 1


def test_the_tables_of_the_configured_metadata_exist_and_are_empty(project_here: Project) -> None:
    (project_here.path / "tables.py").write_text(
        "from sqlalchemy import Column, Integer, MetaData, Table\n"
        "class Base:\n    metadata = MetaData()\n"
        "Table('things', Base.metadata, Column('id', Integer, primary_key=True))\n"
    )
    project_here.write(
        """
        import pytest
        from sqlalchemy import create_engine, text

        @pytest.mark.parametrize("time", [1, 2])
        def test_it(database_uri, time):
            engine = create_engine(database_uri)
            with engine.begin() as connection:
                assert connection.scalar(text("SELECT count(*) FROM things")) == 0
                connection.execute(text("INSERT INTO things VALUES (1)"))
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

        @pytest.fixture(scope="session")
        def testbed_schema():
            def make(uri):
                engine = create_engine(uri)
                with engine.begin() as connection:
                    connection.execute(text("CREATE TABLE versions (number INTEGER)"))
                    connection.execute(text("INSERT INTO versions VALUES (7)"))
                engine.dispose()
            return make

        @pytest.mark.parametrize("time", [1, 2])
        def test_it(database_uri, time):
            engine = create_engine(database_uri)
            with engine.begin() as connection:
                assert connection.scalar(text("SELECT number FROM versions")) == 7
                connection.execute(text("UPDATE versions SET number = 8"))
            engine.dispose()
        """
    )
    outcome = project_here.run()

    assert f"{2 * len(project_here.backends)} passed" in outcome.text
