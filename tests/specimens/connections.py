"""Mistakes in the settings of a connection: transactions, foreign keys, characters, time.

The twin of most is the plain binding, which has the settings of `make_engine(uri)`.
"""

import sqlite3
from functools import partial
from typing import Any

from sqlalchemy import Engine, NullPool, create_engine, event, make_url, text

from app.database.limits import limit_waits
from tests.specimens.bindings import SERVERS, Specimen, binding, ledger, options_of
from tests.specimens.plain import make_engine

NO_FOREIGN_KEYS = {"mysql": {"connect_args": {"init_command": "SET foreign_key_checks = 0"}}}
MYISAM = {"connect_args": {"init_command": "SET default_storage_engine = MyISAM"}}
A_SETTING = {
    "sqlite": "PRAGMA recursive_triggers = ON",
    "postgresql": "SET lock_timeout = '5s'",
    "mysql": "SET innodb_lock_wait_timeout = 5",
}
LATIN1 = {"postgresql": {"client_encoding": "latin1"}, "mysql": {"charset": "latin1"}}


def switched_on_once(uri: str) -> Engine:
    """Make an engine, and switch foreign keys on for its first connection only."""
    engine = create_engine(uri)
    if engine.dialect.name == "sqlite":
        with engine.connect() as connection:
            connection.execute(text("PRAGMA foreign_keys = ON"))
    return engine


def in_latin1(uri: str) -> Engine:
    engine = make_engine(uri, connect_args=options_of(uri, LATIN1))
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", decode)
    return engine


def decode(connection: sqlite3.Connection, _record: object) -> None:
    connection.text_factory = lambda text: text.decode("latin1")


def set_at_connect(uri: str, *, commit: bool) -> Engine:
    """Make an engine that sets the time zone where it connects."""
    engine = create_engine(uri)

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        connection.cursor().execute("SET TIME ZONE 'UTC'")
        if commit:
            connection.commit()

    return engine


def set_on_first_connection(uri: str, *, once: bool) -> Engine:
    """Make an engine that changes a setting of each connection, or of the first one alone."""
    engine = create_engine(uri)

    def prepare(connection: Any, _record: object) -> None:
        connection.cursor().execute(A_SETTING[engine.dialect.name])
        connection.commit()

    event.listen(engine, "connect", prepare, once=once)
    return engine


def in_a_gevent_worker(uri: str, **options: Any) -> Engine:
    """Make an engine whose driver lets other greenlets run while it waits, psycopg2 too."""
    engine = make_engine(uri, **options)
    limit_waits(engine, seconds=60)
    return engine


def with_shared_cache(uri: str, isolation_level: str) -> Engine:
    """Make an engine whose connections read uncommitted rows.

    On SQLite that needs one cache for all connections.
    """
    options: dict[str, Any] = {"isolation_level": isolation_level}
    url = make_url(uri)
    if url.get_backend_name() == "sqlite":
        options["creator"] = partial(
            sqlite3.connect, f"file:{url.database}?cache=shared", uri=True, check_same_thread=False
        )
    return create_engine(uri, **options)


def with_table_options(uri: str, options: str) -> Engine:
    """Make an engine that adds these options to each CREATE TABLE."""
    engine = make_engine(uri)

    @event.listens_for(engine, "before_cursor_execute", retval=True)
    def add(*arguments: Any) -> tuple[str, Any]:
        statement, parameters = arguments[2:4]
        is_table = statement.lstrip().startswith("CREATE TABLE")
        return f"{statement} {options}" if is_table else statement, parameters

    return engine


SPECIMENS = {
    "autocommit": Specimen(
        "The engine is in AUTOCOMMIT mode: a rollback undoes nothing, and there are no savepoints.",
        met="pallets-eco/flask-sqlalchemy#120",
        caught_by=(
            "transactions.rolls-back",
            "transactions.savepoint-released",
            "transactions.own-table-rolls-back",
        ),
        wrong=binding(engine=lambda uri: create_engine(uri, isolation_level="AUTOCOMMIT")),
    ),
    "sqlite_savepoint_escapes": Specimen(
        "SQLite's driver sends no BEGIN before a savepoint, so releasing the savepoint commits it.",
        met="new-usemame/Calibre-Web-NextGen#1873",
        caught_by=("transactions.savepoint-released",),
        wrong=binding(engine=create_engine),
        not_on=dict.fromkeys(SERVERS, "Their drivers begin a transaction before any statement."),
    ),
    "unreset": Specimen(
        "The pool skips the rollback on return, so the next user is in the middle of a transaction.",
        met="https://docs.sqlalchemy.org/en/20/core/pooling.html#disabling-reset-on-return-for-non-transactional-connections",
        caught_by=("transactions.raw-connection-is-reset",),
        wrong=ledger({"pool_reset_on_return": None}),
        corrected=ledger(),
    ),
    "foreign_keys_off": Specimen(
        "The connections do not check foreign keys: SQLite's default, and MySQL's after an import.",
        met="NorthlandPositronics/Cogtrix#2201",
        caught_by=("portability.foreign-keys", "portability.cascade"),
        wrong=binding(engine=lambda uri: create_engine(uri, **options_of(uri, NO_FOREIGN_KEYS))),
        not_on={"postgresql": "Only a superuser can switch off foreign keys."},
    ),
    "foreign_keys_on_one_connection": Specimen(
        "PRAGMA foreign_keys = ON is sent once, at start-up: only the first connection has it.",
        met="https://stackoverflow.com/questions/2614984, in some of the answers",
        caught_by=("portability.foreign-keys",),
        wrong=binding(engine=switched_on_once),
        not_on=dict.fromkeys(SERVERS, "They have no such switch."),
    ),
    "latin1": Specimen(
        "The connection uses Latin-1, once MySQL's default: most of Unicode is refused or altered.",
        met="movim/movim#1042, HubSpot/Blazar-Archive#351",
        caught_by=("portability.characters", "portability.own-table-characters"),
        wrong=binding(engine=in_latin1),
    ),
    "mysql_utf8mb3": Specimen(
        "The connection uses utf8mb3: characters of four bytes (emoji) are refused or become `?`.",
        met="movim/movim#1042",
        caught_by=("portability.characters",),
        wrong=ledger(mysql={"connect_args": {"charset": "utf8mb3"}}),
        corrected=ledger(),
        not_on=dict.fromkeys(("sqlite", "postgresql"), "Their UTF-8 is complete."),
    ),
    "latin1_tables": Specimen(
        "Each CREATE TABLE names the character set latin1: the app's own tables refuse most of Unicode.",
        met='no public thread; advice against "Specified key was too long"',
        caught_by=("portability.own-table-characters",),
        wrong=binding(engine=partial(with_table_options, options="CHARSET=latin1")),
        not_on=dict.fromkeys(("sqlite", "postgresql"), "Their tables have no character set of their own."),
    ),
    "equal_emoji": Specimen(
        "Each CREATE TABLE names the collation utf8mb4_general_ci, in which all emoji are equal.",
        met="no public thread; MySQL's default before version 8",
        caught_by=("portability.own-table-characters",),
        wrong=binding(engine=partial(with_table_options, options="COLLATE=utf8mb4_general_ci")),
        not_on=dict.fromkeys(("sqlite", "postgresql"), "Their tables have no collation of their own."),
    ),
    "myisam": Specimen(
        "New tables have the storage engine MyISAM, which has no transactions: a rollback undoes nothing.",
        met="mozilla/zamboni#469, laravel/docs#2614",
        caught_by=("transactions.own-table-rolls-back",),
        wrong=ledger(mysql=MYISAM),
        corrected=ledger(),
        not_on=dict.fromkeys(("sqlite", "postgresql"), "They have one storage engine, with transactions."),
    ),
    "state_left_on_connections": Specimen(
        "The pool rolls back, and resets nothing else: settings and locks reach the next request.",
        met="crystaldba/postgres-mcp#203, brianc/node-postgres#391",
        caught_by=("lifecycle.clean-connection",),
        wrong=binding(engine=create_engine),
        corrected=binding(engine=partial(create_engine, poolclass=NullPool)),
    ),
    "pool_of_one": Specimen(
        "The pool has one connection, as for a worker without threads: a gevent worker's requests queue.",
        met="no public thread",
        caught_by=("lifecycle.gevent-waits",),
        wrong=binding(engine=partial(in_a_gevent_worker, pool_size=1, max_overflow=0)),
        corrected=binding(engine=in_a_gevent_worker),
        not_on={"sqlite": "Its driver waits for no server."},
    ),
    "set_at_connect": Specimen(
        "The settings are made in a transaction that nothing commits: the first rollback undoes them.",
        met="karanhudia/borg-ui#892",
        caught_by=("portability.same-settings",),
        wrong=binding(engine=partial(set_at_connect, commit=False)),
        corrected=binding(engine=partial(set_at_connect, commit=True)),
        not_on=dict.fromkeys(("sqlite", "mysql"), "A rollback undoes none of their settings."),
    ),
    "set_on_first_connection": Specimen(
        "A setting is made once, at start-up: the other connections of the pool do not have it.",
        met="https://stackoverflow.com/questions/2614984, in some of the answers",
        caught_by=("portability.same-settings",),
        wrong=binding(engine=partial(set_on_first_connection, once=True)),
        corrected=binding(engine=partial(set_on_first_connection, once=False)),
    ),
    "read_uncommitted": Specimen(
        "Requests read rows that another one has not committed, and may roll back.",
        met="no public thread; advice against waiting for locks",
        caught_by=("transactions.no-dirty-reads",),
        wrong=binding(engine=partial(with_shared_cache, isolation_level="READ UNCOMMITTED")),
        corrected=binding(engine=partial(with_shared_cache, isolation_level="SERIALIZABLE")),
        not_on={"postgresql": "PostgreSQL reads no such rows in any isolation level."},
    ),
    "lax": Specimen(
        "An empty sql_mode, as in old guides: MySQL cuts off a text that is too long, without an error.",
        met="CCI-MOC/hil#374, Kotti/Kotti#404",
        caught_by=("portability.too-long",),
        wrong=ledger(mysql={"connect_args": {"init_command": "SET time_zone = '+00:00', sql_mode = ''"}}),
        corrected=ledger(),
        not_on=dict.fromkeys(("sqlite", "postgresql"), "They have no such mode."),
    ),
    "local_time": Specimen(
        "The connection has the developer's time zone.",
        met="MemMachine/MemMachine#1558",
        caught_by=("portability.time-zone",),
        wrong=ledger(
            postgresql={"connect_args": {"options": "-c timezone=America/Los_Angeles"}},
            mysql={"connect_args": {"init_command": "SET time_zone = '-08:00'"}},
        ),
        corrected=ledger(),
        not_on={"sqlite": "SQLite has no time zone."},
    ),
    "time_of_the_server": Specimen(
        "No time zone is set, so the current time depends on where the database server stands.",
        met="MemMachine/MemMachine#1558",
        caught_by=("portability.time-zone-of-the-server",),
        wrong=binding(engine=create_engine),
        not_on={"sqlite": "SQLite has no time zone."},
    ),
}
