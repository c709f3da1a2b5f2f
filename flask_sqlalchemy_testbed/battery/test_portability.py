"""Check the differences between databases.

A binding must handle some of them, and can change none of the others.
"""

import contextlib
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete, func, insert, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from flask_sqlalchemy_testbed.battery.observations import KEY
from flask_sqlalchemy_testbed.battery.observer import observer
from flask_sqlalchemy_testbed.battery.requests import add_view, get
from flask_sqlalchemy_testbed.battery.tables import OLD_ITEM, OWN, Item, Part, Value
from flask_sqlalchemy_testbed.battery.threads import Task
from flask_sqlalchemy_testbed.battery.trial import Trial
from flask_sqlalchemy_testbed.checks.check import check
from flask_sqlalchemy_testbed.databases import Database

# Some collations treat these two as equal.
SUSHI, BEER = "\N{SUSHI}", "\N{BEER MUG}"
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
NOT_SET = """
    WHERE LOWER(variable_name) NOT IN (
        'timestamp', 'pseudo_thread_id', 'rand_seed1', 'rand_seed2', 'insert_id', 'last_insert_id',
        'identity', 'error_count', 'warning_count', 'statement_id', 'last_gtid')
"""
# The settings of a connection: (name, value). PostgreSQL also tells where a value comes from: one that equals
# the server's own is lost at a rollback all the same.
SETTINGS = {
    "sqlite": " UNION ALL ".join(
        f"SELECT '{name}', CAST(pragma.{name} AS TEXT) FROM pragma_{name} AS pragma"  # noqa: S608
        for name in PRAGMAS
    ),
    "postgresql": "SELECT name, concat(setting, ', from: ', source) FROM pg_settings",
    "mysql": f"SELECT variable_name, variable_value FROM performance_schema.session_variables {NOT_SET}",  # noqa: S608
    "mariadb": f"SELECT variable_name, variable_value FROM information_schema.session_variables {NOT_SET}",  # noqa: S608
}
# How a UUID is stored: on MariaDB SQLAlchemy 2.1 uses the type for UUIDs, and 2.0 a text.
UUID_STORED = {
    "sqlite": {KEY.hex},
    "postgresql": {str(KEY)},
    "mysql": {KEY.hex},
    "mariadb": {KEY.hex, str(KEY)},
}
# What each backend can do; `null-last` is its default order, and `large-binary` is one of 70 KB.
CAPABILITIES = {
    "sqlite": {"varchar-without-length", "nulls-last-syntax", "lastrowid", "large-binary"},
    "postgresql": {"varchar-without-length", "nulls-last-syntax", "null-last", "large-binary"}
    | {"instants", "number-limits"},
    "mysql": {"lastrowid", "number-limits"},
}


class Server:
    """The database without the app, observed in a process of its own."""

    def __init__(self, database: Database) -> None:
        self._uri = database.uri
        self.of = database.backend.of

    def does(self, observation: str) -> Any:
        """Return the result of a function of `observations`."""
        return observer().observe(observation, self._uri)

    def has(self, capability: str) -> bool:
        """Return whether the backend is known to have a capability."""
        return capability in self.of(CAPABILITIES)


@pytest.fixture
def server(testbed_database: Database) -> Server:
    """Return the check's database, without the app."""
    return Server(testbed_database)


@check("portability.foreign-keys")
def test_foreign_keys(trial: Trial) -> None:
    app = trial.app()
    engine = trial.engine(app)
    with contextlib.ExitStack() as held:
        for _ in range(trial.connections(app)):
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
        assert found == 0, f"rows that still refer to a deleted row: {found}"


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
    app, query = trial.app(), text(trial.of(SETTINGS))
    engine = trial.engine(app)
    found: list[dict[str, str]] = []
    with contextlib.ExitStack() as held:
        for _ in range(trial.connections(app)):
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
def test_any_length(server: Server) -> None:
    assert server.does("any_length") == server.has("varchar-without-length")


@check("portability.case")
def test_case(server: Server) -> None:
    same = server.of(SAME_AS_ABC)

    assert server.does("case") == {"equal": same, "refused": same}


@check("portability.fractions")
def test_fractions(server: Server) -> None:
    assert server.does("fractions") == {"plain": server.of(MICROSECOND), "precise": 619950}


@check("portability.aware-times")
def test_aware_times(server: Server) -> None:
    instants = server.has("instants")

    assert server.does("aware_times") == {"instant": instants, "local": not instants}


@check("portability.generated-key")
def test_generated_key(server: Server) -> None:
    lastrowid = server.has("lastrowid")

    assert server.does("generated_key") == {"inserted_primary_key": True, "lastrowid": lastrowid}


@check("portability.null-order")
def test_null_order(server: Server) -> None:
    order = [1, 2, None] if server.has("null-last") else [None, 1, 2]

    assert server.does("null_order") == {"by default": order, "NULLS LAST": server.has("nulls-last-syntax")}


@check("portability.json-null")
def test_json_null(server: Server) -> None:
    assert server.does("json_null") == {"nulls": 1, "read": [None, None]}


@check("portability.uuid")
def test_uuid(server: Server) -> None:
    found = server.does("uuid_column")
    assert found["same"]
    assert found["stored"] in server.of(UUID_STORED)


@check("portability.large-binary")
def test_large_binary(server: Server) -> None:
    assert server.does("large_binary") == ("the same" if server.has("large-binary") else "refused")


@check("portability.too-large")
def test_too_large(server: Server) -> None:
    assert server.does("too_large") == server.has("number-limits")
