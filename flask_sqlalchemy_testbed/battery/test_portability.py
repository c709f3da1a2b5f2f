"""Check the differences between databases.

A binding must handle some of them, and can change none of the others.
"""

import contextlib
import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import (
    Engine,
    NullPool,
    String,
    create_engine,
    delete,
    func,
    insert,
    null,
    select,
    text,
    update,
)
from sqlalchemy.exc import CompileError, DBAPIError, IntegrityError

from flask_sqlalchemy_testbed.battery.tables import OLD_ITEM, OWN, Item, Part, Value
from flask_sqlalchemy_testbed.battery.threads import Task
from flask_sqlalchemy_testbed.battery.trial import CONNECTIONS, Trial, add_view, get
from flask_sqlalchemy_testbed.checks.check import check

# Some collations treat these two as equal.
SUSHI, BEER = "\N{SUSHI}", "\N{BEER MUG}"
KEY = uuid.UUID("12345678-1234-5678-1234-567812345678")
# Seconds that a writer must wait for another one; drivers without a timeout raise much sooner.
WRITER_WAITS = 0.3

# The rows after the insert of nine characters into a column of three.
STORED = {"sqlite": ["abcdefghi"], "postgresql": [], "mysql": []}
# The texts that equal `abc`, and are refused beside it in a unique column.
SAME_AS_ABC = {"sqlite": ["abc"], "postgresql": ["abc"], "mysql": ["abc", "ABC", "\xe1bc"]}
# The microseconds that a DATETIME without a precision stores of .619950 s.
MICROSECOND = {"sqlite": 619950, "postgresql": 619950, "mysql": 0}
# A query for the character set of a connection, and its result.
CHARACTERS = {
    "sqlite": ("PRAGMA encoding", "UTF-8"),
    "postgresql": ("SHOW client_encoding", "UTF8"),
    "mysql": ("SELECT @@character_set_connection", "utf8mb4"),
}
# The server's time, without its time zone.
NOW = {
    "sqlite": "SELECT CURRENT_TIMESTAMP",
    "postgresql": "SELECT LOCALTIMESTAMP",
    "mysql": "SELECT CURRENT_TIMESTAMP",
}
PRAGMAS = (
    *("foreign_keys", "recursive_triggers", "ignore_check_constraints", "read_uncommitted", "synchronous"),
    *("query_only", "cache_size", "temp_store", "locking_mode", "journal_mode"),
)
# The settings of a connection: (name, value). PostgreSQL also tells where a value comes from: one that equals
# the server's own is lost at a rollback all the same.
SETTINGS = {
    "sqlite": " UNION ALL ".join(
        f"SELECT '{name}', CAST(pragma.{name} AS TEXT) FROM pragma_{name} AS pragma"  # noqa: S608
        for name in PRAGMAS
    ),
    "postgresql": "SELECT name, concat(setting, ', from: ', source) FROM pg_settings",
    "mysql": """
        SELECT variable_name, variable_value FROM performance_schema.session_variables
        WHERE variable_name NOT IN ('timestamp', 'pseudo_thread_id', 'rand_seed1', 'rand_seed2', 'insert_id',
                                    'last_insert_id', 'identity', 'error_count', 'warning_count',
                                    'statement_id')
    """,
}
# How a UUID is stored.
UUID_STORED = {"sqlite": KEY.hex, "postgresql": str(KEY), "mysql": KEY.hex}
# What each backend can do; `null-last` is its default order, and `large-binary` is one of 70 KB.
CAPABILITIES = {
    "sqlite": {"varchar-without-length", "nulls-last-syntax", "lastrowid", "large-binary"},
    "postgresql": {"varchar-without-length", "nulls-last-syntax", "null-last", "large-binary"}
    | {"instants", "number-limits"},
    "mysql": {"lastrowid", "number-limits"},
}


def has(engine: Engine, capability: str) -> bool:
    return capability in CAPABILITIES[engine.dialect.name]


@pytest.fixture
def engine(trial: Trial) -> Iterator[Engine]:
    """Return an engine without options: it shows what the backend does, not the app under test."""
    engine = create_engine(trial.database.uri, poolclass=NullPool)
    yield engine
    engine.dispose()


def stored(engine: Engine, **values: Any) -> Value:
    """Insert a row and return it as it is read."""
    with engine.begin() as connection:
        connection.execute(insert(Value).values(**values))
    with engine.connect() as connection:
        return connection.execute(select(Value.__table__)).one()  # type: ignore[return-value]


def is_refused(engine: Engine, statement: Any) -> bool:
    with engine.connect() as connection:
        try:
            connection.execute(statement)
        except DBAPIError:
            return True
    return False


@check("portability.foreign-keys")
def test_foreign_keys(trial: Trial) -> None:
    app = trial.app()
    engine = trial.engine(app)
    with contextlib.ExitStack() as held:
        for _ in range(CONNECTIONS):
            with app.app_context():
                with pytest.raises(IntegrityError):
                    trial.session.execute(insert(Part).values(item_id=1))
                trial.session.rollback()
            # Without a transaction, which could be SQLite's only writer; the next session gets another one.
            held.enter_context(engine.connect())


@check("portability.cascade")
def test_cascade(trial: Trial) -> None:
    with trial.app().app_context():
        trial.session.add(Item(id=1, name="whole"))
        trial.session.flush()
        trial.session.add(Part(item_id=1))
        trial.session.commit()
        trial.session.execute(delete(Item))
        trial.session.commit()

        found = trial.session.scalar(select(func.count(Part.id)))
        assert found == 0, f"{found} rows still refer to a deleted row"


@check("portability.writer-waits")
def test_writer_waits(trial: Trial) -> None:
    app, released = trial.app(), threading.Event()
    trial.database.connection.rows(OLD_ITEM)

    def rename(name: str) -> None:
        trial.session.execute(update(Item).values(name=name))

    def write() -> None:
        with app.app_context():
            try:
                rename("second")
            except DBAPIError:
                if not released.is_set():
                    raise
                # From REPEATABLE READ on, PostgreSQL refuses to change a row that changed during the wait.
                trial.session.rollback()
                rename("second")
            trial.session.commit()

    with app.app_context():
        rename("first")
        if trial.committed() == ["first"]:
            return  # In AUTOCOMMIT mode no writer waits: `transactions.rolls-back` fails for it.
        second = Task(write)
        ended_early = second.ended.wait(WRITER_WAITS)
        released.set()
        trial.session.commit()
    second.result()

    assert not ended_early, "the second writer did not wait until the first one committed"
    assert trial.committed() == ["second"], "the second writer's change is not in the database"


@check("portability.writer-lets-go")
def test_writer_lets_go(trial: Trial) -> None:
    app = trial.app()
    add_view(app, "/testbed/rename", lambda: str(trial.session.execute(update(Item).values(name="x"))))
    trial.database.connection.rows(OLD_ITEM)
    get(app, "/testbed/rename")
    trial.database.connection.rows("UPDATE testbed_item SET name = 'new'")

    assert trial.committed() == ["new"], "another writer's change is not in the database"


@check("portability.too-long")
def test_too_long(trial: Trial) -> None:
    with trial.app().app_context():
        try:
            trial.session.execute(insert(Value).values(short="abcdefghi"))
            trial.session.commit()
        except DBAPIError:
            trial.session.rollback()

    found = [value for (value,) in trial.database.connection.rows("SELECT short FROM testbed_value")]
    assert found == trial.of(STORED), f"of nine characters, a column of three contains {found}"


@check("portability.characters")
def test_characters(trial: Trial) -> None:
    query, expected = trial.of(CHARACTERS)
    with trial.app().app_context():
        trial.session.add_all([Item(id=1, name=SUSHI), Item(id=2, name=BEER)])
        trial.session.commit()

        found = trial.session.scalars(select(Item.name).order_by(Item.id)).all()
        assert found == [SUSHI, BEER], f"the session wrote {[SUSHI, BEER]} and read {found}"
        found = trial.session.scalar(text(query))
        assert found == expected, f"the connection's character set is {found}, not {expected}"
    assert trial.committed() == [SUSHI, BEER], f"the database contains {trial.committed()}"


@check("portability.own-table-characters")
def test_own_table_characters(trial: Trial) -> None:
    app = trial.app()
    with app.app_context():
        trial.create_own_table()
        trial.session.execute(insert(OWN), [{"name": SUSHI}, {"name": BEER}])
        trial.session.commit()

    with app.app_context():
        found = trial.session.scalars(select(OWN.c.name).order_by(OWN.c.id)).all()
    assert found == [SUSHI, BEER], f"the table that the app created has {found}, not {[SUSHI, BEER]}"


@check("portability.same-settings")
def test_same_settings(trial: Trial) -> None:
    engine, query = trial.engine(trial.app()), text(trial.of(SETTINGS))
    found: list[dict[str, str]] = []
    with contextlib.ExitStack() as held:
        for _ in range(CONNECTIONS):
            connection = held.enter_context(engine.connect())
            for _ in range(2):
                found.append({str(name): str(value) for name, value in connection.execute(query)})
                # It ends the transaction, which could be SQLite's only writer.
                connection.rollback()
    first, *others = found
    differ = {
        name: sorted({first[name], *(other.get(name, "missing") for other in others)})
        for name in first
        if any(other.get(name) != first[name] for other in others)
    }
    assert not differ, f"in different connections, or after a rollback, settings differ: {differ}"


def assert_now_is_utc(trial: Trial) -> None:
    with trial.app().app_context():
        now = trial.session.scalar(text(trial.of(NOW)))

    now = now if isinstance(now, datetime) else datetime.fromisoformat(now)
    assert abs(datetime.now(UTC).replace(tzinfo=None) - now) < timedelta(minutes=5), (
        f"the session's current time is {now:%H:%M}; it is {datetime.now(UTC):%H:%M} UTC"
    )


@check("portability.time-zone")
def test_time_zone(trial: Trial) -> None:
    assert_now_is_utc(trial)


@check("portability.time-zone-of-the-server")
def test_time_zone_of_the_server(own_trial: Trial) -> None:
    assert_now_is_utc(own_trial)


@check("portability.any-length")
def test_any_length(engine: Engine) -> None:
    refused = pytest.raises(CompileError)
    with contextlib.nullcontext() if has(engine, "varchar-without-length") else refused:
        String().compile(dialect=engine.dialect)


@check("portability.case")
def test_case(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(insert(Item).values(name="abc"))
    candidates = ["abc", "ABC", "\xe1bc"]
    with engine.connect() as connection:
        equal = [name for name in candidates if connection.scalar(select(Item.id).where(Item.name == name))]

    assert equal == SAME_AS_ABC[engine.dialect.name]
    refused = [name for name in candidates if is_refused(engine, insert(Item).values(name=name))]
    assert refused == SAME_AS_ABC[engine.dialect.name]


@check("portability.fractions")
def test_fractions(engine: Engine) -> None:
    moment = datetime(2024, 2, 29, 12, 30, 15, 619950)  # noqa: DTZ001 - the column has no time zone
    row = stored(engine, moment=moment, precise=moment)

    assert row.moment is not None
    assert row.moment.microsecond == MICROSECOND[engine.dialect.name]
    assert row.precise == moment


@check("portability.aware-times")
def test_aware_times(engine: Engine) -> None:
    there = datetime(2024, 2, 29, 12, 30, 15, tzinfo=timezone(timedelta(hours=-8)))
    back = stored(engine, aware=there).aware

    assert (back == there) == has(engine, "instants")
    assert has(engine, "instants") or back == there.replace(tzinfo=None)


@check("portability.generated-key")
def test_generated_key(engine: Engine) -> None:
    with engine.begin() as connection:
        table = Item.metadata.tables["testbed_item"]
        key = connection.execute(insert(table).values(name="new")).inserted_primary_key

        assert key is not None
        assert key[0] == connection.scalar(select(Item.id))
        cursor = connection.exec_driver_sql("INSERT INTO testbed_item (name) VALUES ('newer')")
        second = connection.scalar(select(func.max(Item.id)))
    # The cursors of psycopg 3 have no such attribute; SQLAlchemy passes the AttributeError on.
    assert (getattr(cursor, "lastrowid", None) == second) == has(engine, "lastrowid")


@check("portability.null-order")
def test_null_order(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(insert(Value), [{"number": 1}, {"number": None}, {"number": 2}])
        found = connection.scalars(select(Value.number).order_by(Value.number)).all()

    assert found == ([1, 2, None] if has(engine, "null-last") else [None, 1, 2])
    explicit = select(Value.number).order_by(Value.number.nulls_last())
    assert is_refused(engine, explicit) != has(engine, "nulls-last-syntax")


@check("portability.json-null")
def test_json_null(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(insert(Value), [{"document": None}])
        connection.execute(insert(Value).values(document=null()))

        assert connection.scalar(select(func.count()).where(Value.document.is_(null()))) == 1
        assert connection.scalars(select(Value.document)).all() == [None, None]


@check("portability.uuid")
def test_uuid(engine: Engine) -> None:
    assert stored(engine, universal=KEY).universal == KEY
    with engine.connect() as connection:
        found = connection.exec_driver_sql("SELECT universal FROM testbed_value").scalar()
    assert str(found) == UUID_STORED[engine.dialect.name]


@check("portability.large-binary")
def test_large_binary(engine: Engine) -> None:
    blob = b"x" * 70_000

    assert is_refused(engine, insert(Value).values(blob=blob)) != has(engine, "large-binary")
    assert not has(engine, "large-binary") or stored(engine, blob=blob).blob == blob


@check("portability.too-large")
def test_too_large(engine: Engine) -> None:
    statement = insert(Value).values(amount=Decimal("123456.78"))

    assert is_refused(engine, statement) == has(engine, "number-limits")
