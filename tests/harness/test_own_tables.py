"""The battery names the table, the column and the remedy of a table that a database cannot have."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import (
    JSON,
    Column,
    Engine,
    Enum,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    NullPool,
    String,
    Table,
    Text,
    create_engine,
    inspect,
    make_url,
)
from sqlalchemy.dialects.postgresql import ARRAY, INET, JSONB
from sqlalchemy.exc import DBAPIError

from flask_sqlalchemy_testbed.backends import BACKENDS
from flask_sqlalchemy_testbed.backends.base import Backend
from flask_sqlalchemy_testbed.battery.own_tables import (
    OwnTablesError,
    check_columns,
    create_and_drop,
    impossible_elsewhere,
    lacking,
)


def user(*columns: Column[Any] | Index, schema: str | None = None) -> Table:
    return Table("user", MetaData(schema=schema), Column("id", Integer, primary_key=True), *columns)


def same_index_twice() -> Table:
    first = user(Column("name", String(9)), Index("ix_name", "name"))
    Table("visit", first.metadata, Column("name", String(9)), Index("ix_name", "name"))
    return first


def key_of_another_type() -> Table:
    first = user()
    return Table("visit", first.metadata, Column("user_id", String(9), ForeignKey("user.id")))


def cycle(name: str | None = None) -> Table:
    first = user(Column("best_id", Integer, ForeignKey("post.id", name=name)))
    author = Column("author_id", Integer, ForeignKey("user.id"))
    Table("post", first.metadata, Column("id", Integer, primary_key=True), author)
    return first


# The tables, and the message by backend; a backend without one, also of its family, can have them.
WRONG: dict[str, tuple[Callable[[], Table], dict[str, str]]] = {
    "no length": (
        lambda: user(Column("name", String)),
        {
            "mysql": "user.name cannot be created: VARCHAR requires a length on dialect {name}."
            " Give it a length: String(255)."
        },
    ),
    "several without length": (
        lambda: user(*(Column(name, String) for name in "abcdef")),
        {
            "mysql": "user.a cannot be created: VARCHAR requires a length on dialect {name}. Give it a"
            " length: String(255). The same applies to: user.b, user.c, user.d and 2 more."
        },
    ),
    "long key": (
        lambda: user(Column("name", String(1000), unique=True)),
        {
            "mysql": "user.name cannot be created: Specified key was too long; max key length is 3072 bytes."
            " Shorten the columns of the key,",
            "mariadb": "",
        },
    ),
    "long index": (
        lambda: user(Column("a", String(9)), Column("b", String(999)), Index("ix", "a", "b")),
        {"mysql": "user.a+b cannot be created: Specified key was too long"},
    ),
    "text as key": (
        lambda: user(Column("name", Text, unique=True)),
        {
            "mysql": "user.name cannot be created: BLOB/TEXT column 'name' used in key specification without"
            " a key length. Give it a length: String(255) in place of Text.",
            "mariadb": "",
        },
    ),
    "default of a text": (
        lambda: user(Column("name", Text, server_default="none")),
        {
            "mysql": "user.name cannot be created: BLOB, TEXT, GEOMETRY or JSON column 'name' can't",
            "mariadb": "",
        },
    ),
    "type of one database": (
        lambda: user(Column("labels", ARRAY(String))),
        dict.fromkeys(
            ("sqlite", "mysql"),
            "user.labels cannot be created: SQLAlchemy can't render element of type ARRAY. Use a type that"
            " each database has, or give it a variant: JSON().with_variant(ARRAY(String()), 'postgresql').",
        ),
    ),
    "same index twice": (
        same_index_twice,
        {
            "sqlite": "visit.name cannot be created: index ix_name already exists. Give each index and",
            "postgresql": 'visit.name cannot be created: relation "ix_name" already exists. Give each',
        },
    ),
    "long name": (
        lambda: user(Column("name", String(9)), Index("ix_" + "long" * 20, "name")),
        dict.fromkeys(("postgresql", "mysql"), "Give it a shorter name."),
    ),
    "key of another type": (
        key_of_another_type,
        dict.fromkeys(("postgresql", "mysql"), "Give both columns of the foreign key the same type."),
    ),
    "unnamed enumeration": (
        lambda: user(Column("kind", Enum("a", "b"))),
        {"postgresql": "user.kind cannot be created: PostgreSQL "},
    ),
    "cycle": (
        cycle,
        dict.fromkeys(
            ("postgresql", "mysql"),
            "user.best_id cannot be dropped by drop_all(): Can't sort tables for DROP; an unresolvable"
            " foreign key dependency exists between tables: post, user",
        ),
    ),
    "schema": (
        lambda: user(schema="audit"),
        {
            "sqlite": "table audit.user cannot be created: it is in the schema 'audit', and a database of"
            " sqlite has no schemas. Map the schema away there:",
            "mysql": "table audit.user cannot be created: it is in the schema 'audit', and",
        },
    ),
    "other table missing": (
        lambda: user(Column("team_id", Integer, ForeignKey("team.id"))),
        dict.fromkeys(
            ("sqlite", "postgresql", "mysql"),
            "user.team_id' could not find table 'team' with which to generate a foreign key to target column"
            " 'id'. Import the module",
        ),
    ),
}
SOUND: dict[str, Callable[[], Table]] = {
    "variants": lambda: user(Column("facts", JSON().with_variant(JSONB(), "postgresql"))),
    "named cycle": lambda: cycle(name="user_best_id"),
    "named enumeration": lambda: user(Column("kind", Enum("a", "b", name="kind"))),
}

# The columns, the databases that the run does not include, and the beginning of the note.
ELSEWHERE: dict[str, tuple[Column[Any], list[str], str]] = {
    "no length": (
        Column("name", String),
        ["mariadb", "mysql", "postgresql"],
        "The run does not include mariadb and mysql. There user.name cannot be created: VARCHAR requires",
    ),
    "unnamed enumeration": (
        Column("kind", Enum("a", "b")),
        ["mysql", "postgresql"],
        "The run does not include postgresql. There user.kind cannot be created: PostgreSQL ",
    ),
    "type of one database": (Column("address", INET), ["mysql"], ""),
    "type that each has": (Column("name", String(9)), ["mysql", "postgresql", "sqlite"], ""),
}


# Statements for which the server lacks something, and others.
NEEDING = {
    "sqlite": ["CREATE VIRTUAL TABLE t USING nowhere(x)", "SELECT load_extension('nowhere')"],
    "postgresql": [
        "CREATE EXTENSION nowhere",
        "SET ROLE pg_monitor; CREATE EXTENSION hstore",
        "SET ROLE pg_monitor; CREATE ROLE nowhere",
        "CREATE TABLE t (x public.geometry)",
        "CREATE TABLE t (x geometry(POINT, 4326))",
        "SELECT uuid_generate_v4()",
        "CREATE TABLE t (x text); CREATE INDEX i ON t USING gin (x gin_trgm_ops)",
        "CREATE TABLE t (x int); CREATE INDEX i ON t USING gist (x)",
        "CREATE TABLE t (x int); CREATE INDEX i ON t USING hnsw (x)",
        "CREATE TABLE t (x int) TABLESPACE nowhere",
        'CREATE TABLE t (x text COLLATE "xx_XX")',
        "CREATE TABLE t (x int); GRANT SELECT ON t TO nowhere",
        "CREATE FUNCTION f() RETURNS int AS '$libdir/nowhere' LANGUAGE c",
        "CREATE FUNCTION f() RETURNS int AS '1' LANGUAGE nowhere",
    ],
    "mysql": ["INSTALL PLUGIN nowhere SONAME 'nowhere.so'", "CREATE TABLE t (x int) ENGINE = nowhere"],
}
# The first of each dialect.
FIRST_NEEDING = {name: BACKENDS[name].of(NEEDING)[0] for name in BACKENDS}
NEEDING_NOTHING = {
    "sqlite": ["SELECT x FROM nowhere", "SELECT nowhere()", "CREATE TABLE t (x"],
    "postgresql": [
        "SELECT x FROM nowhere",
        "SELECT nowhere()",
        "CREATE TABLE t (x status)",
        "CREATE TABLE t (x json); CREATE INDEX i ON t USING gin (x)",
        "CREATE TABLE t (x",
    ],
    "mysql": ["SELECT x FROM nowhere", "SELECT nowhere()", "CREATE TABLE t (x"],
}


@pytest.fixture
def engine(database_uri: str) -> Iterator[Engine]:
    engine = create_engine(database_uri, poolclass=NullPool)
    yield engine
    engine.dispose()


@pytest.mark.parametrize("name", WRONG)
def test_a_table_that_cannot_be_created_is_one_sentence_with_its_remedy(
    name: str, engine: Engine, testbed_backend: Backend
) -> None:
    tables, messages = WRONG[name]
    usual = {testbed_backend.family or testbed_backend.name: ""}
    message = testbed_backend.of({**usual, **messages}).format(name=testbed_backend.name)
    try:
        create_and_drop(tables().metadata, engine)
    except OwnTablesError as error:
        (found,) = str(error).splitlines()
    else:
        found = ""

    assert message in found
    assert bool(message) == bool(found), found


@pytest.mark.bad_day
def test_columns_that_need_different_changes_each_have_their_own() -> None:
    columns = Column("name", String), Column("address", INET), Column("nick", String)

    with pytest.raises(OwnTablesError) as raised:
        check_columns(user(*columns).metadata, make_url("mysql://").get_dialect()())

    assert str(raised.value) == (
        "user.name cannot be created: VARCHAR requires a length on dialect mysql. Give it a length:"
        " String(255). The same applies to: user.nick. user.address cannot be created: SQLAlchemy can't"
        " render element of type INET. Use a type that each database has, or give it a variant:"
        " String(255).with_variant(INET(), 'postgresql')."
    )


@pytest.mark.bad_day
@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_column_that_an_absent_database_cannot_have_is_a_note(name: str) -> None:
    column, absent, note = ELSEWHERE[name]

    found = impossible_elsewhere(user(column).metadata, absent)

    assert found.startswith(note)
    assert bool(found) == bool(note)


@pytest.mark.parametrize("name", SOUND)
def test_tables_that_each_database_can_have_are_dropped_again(name: str, engine: Engine) -> None:
    create_and_drop(SOUND[name]().metadata, engine)

    assert inspect(engine).get_table_names() == []


def test_the_schema_that_an_engine_maps_away_need_not_exist(engine: Engine) -> None:
    mapped = engine.execution_options(schema_translate_map={"audit": None})

    create_and_drop(user(schema="audit").metadata, mapped)

    assert inspect(engine).get_table_names() == []


@pytest.mark.parametrize(("statements", "is_lacking"), [(NEEDING, True), (NEEDING_NOTHING, False)])
def test_an_error_tells_whether_the_server_lacks_something(
    statements: dict[str, list[str]], engine: Engine, testbed_backend: Backend, *, is_lacking: bool
) -> None:
    found = {
        statement: lacking(error_of(engine, statement), engine.dialect.name)
        for statement in testbed_backend.of(statements)
    }

    assert {statement: reason for statement, reason in found.items() if bool(reason) != is_lacking} == {}


def error_of(engine: Engine, statements: str) -> BaseException:
    with engine.connect() as connection:
        try:
            for statement in statements.split("; "):
                connection.exec_driver_sql(statement)
        except DBAPIError as error:
            return error
    pytest.fail(statements)
