"""Mistakes in the settings of a connection: transactions, foreign keys, characters, time.

The twin of most is the plain binding, which has the settings of `make_engine(uri)`.
"""

import sqlite3

from sqlalchemy import Engine, create_engine, event, text

from tests.specimens.bindings import SERVERS, Specimen, binding, ledger, options_of
from tests.specimens.plain import make_engine

NO_FOREIGN_KEYS = {"mysql": {"connect_args": {"init_command": "SET foreign_key_checks = 0"}}}
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


SPECIMENS = {
    "autocommit": Specimen(
        "The engine is in AUTOCOMMIT mode: a rollback undoes nothing, and there are no savepoints.",
        met="pallets-eco/flask-sqlalchemy#120",
        caught_by=("transactions.rolls-back", "transactions.savepoint-released"),
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
        caught_by=("portability.characters",),
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
