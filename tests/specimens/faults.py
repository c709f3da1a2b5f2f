"""Mistakes that show when something fails: lost connections, waits, time limits, deadlocks."""

from functools import partial
from typing import Any

from flask import Flask
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session

from tests.specimens.bindings import Specimen, binding, ledger, remove
from tests.specimens.ends import leave
from tests.specimens.plain import engine, make_engine

pinging = partial(create_engine, pool_pre_ping=True)
one_connection = partial(make_engine, pool_size=1, max_overflow=0, pool_timeout=1)


class RetryingSession(Session):
    def execute(self, *args: Any, **options: Any) -> Any:
        try:
            return super().execute(*args, **options)
        except OperationalError:
            return super().execute(*args, **options)


class ReconnectingSession(Session):
    def execute(self, *args: Any, **options: Any) -> Any:
        try:
            return super().execute(*args, **options)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
            self.rollback()
            return super().execute(*args, **options)


class ForgivingSession(Session):
    def commit(self) -> None:
        try:
            super().commit()
        except DBAPIError:
            self.rollback()


def roll_back_on_error(app: Flask, _session: Any) -> None:
    def roll_back(context: ExceptionContext) -> None:
        if context.connection is not None:
            context.connection.connection.rollback()

    event.listen(app.extensions["engine"], "handle_error", roll_back)


def take_read_only_for_lost(app: Flask, _session: Any) -> None:
    def is_lost(context: ExceptionContext) -> None:
        error = context.original_exception
        code = getattr(error, "pgcode", None) or (error.args and error.args[0])
        context.is_disconnect = context.is_disconnect or code in {"25006", 1290}

    event.listen(app.extensions["engine"], "handle_error", is_lost)


def with_lock_limit(uri: str, *, limit: str) -> Engine:
    """Make an engine with this limit for locks on MySQL, and 30 s for an answer."""
    engine = make_engine(uri)

    @event.listens_for(engine, "connect")
    def set_limit(connection: Any, _record: object) -> None:
        if engine.dialect.name == "mysql":
            connection.cursor().execute(f"SET {limit}")

    return engine


def take_for_lost(app: Flask, _session: Any) -> None:
    def is_lost(context: ExceptionContext) -> None:
        context.is_disconnect = isinstance(context.sqlalchemy_exception, OperationalError)

    event.listen(app.extensions["engine"], "handle_error", is_lost)


SPECIMENS = {
    "no_pre_ping": Specimen(
        "The pool does not test connections: after a restart of the server, requests get dead ones.",
        met="pallets-eco/flask-sqlalchemy#1177, #802, #449; sqlalchemy/sqlalchemy#5566",
        caught_by=("faults.lost-between-requests", "faults.restart", "faults.idle-timeout"),
        wrong=binding(engine=lambda uri: make_engine(uri, pool_pre_ping=False)),
        corrected=binding(engine=lambda uri: make_engine(uri, pool_pre_ping=True)),
        not_on={"sqlite": "SQLite has no connection to lose."},
    ),
    "keeps_the_old_primary": Specimen(
        "Pre-ping succeeds on a read-only server, so the pool stays connected to a demoted primary.",
        met="sqlalchemy/sqlalchemy#7839",
        caught_by=("faults.demoted-primary", "faults.failover"),
        wrong=binding(engine=pinging),
        corrected=binding(engine=pinging, prepare=take_read_only_for_lost),
        not_on={"sqlite": "SQLite has no primary."},
    ),
    "forgives_a_failed_commit": Specimen(
        "A commit that fails is rolled back without an error: the app confirms writes that no server has.",
        met="no public thread",
        caught_by=("faults.failover",),
        wrong=binding(new_session=lambda: ForgivingSession(engine()), prepare=take_read_only_for_lost),
        corrected=binding(new_session=lambda: Session(engine()), prepare=take_read_only_for_lost),
        not_on={"sqlite": "SQLite has no primary."},
    ),
    "driver_gives_up_first": Specimen(
        "The driver's limit is shorter than the server's for locks: the statement waits on, abandoned.",
        met="no public thread",
        caught_by=("faults.lock-wait",),
        wrong=binding(engine=partial(with_lock_limit, limit="innodb_lock_wait_timeout = 50")),
        corrected=binding(engine=partial(with_lock_limit, limit="innodb_lock_wait_timeout = 5")),
        not_on=dict.fromkeys(("sqlite", "postgresql"), "Their drivers set no limit for an answer."),
    ),
    "waits_a_year_for_a_table": Specimen(
        "A limit is set for locks of rows and none for tables: during ALTER TABLE the driver gives up first.",
        met="no public thread; the default of MySQL, as in magento/magento2#19220",
        caught_by=("faults.lock-wait",),
        wrong=binding(engine=partial(with_lock_limit, limit="lock_wait_timeout = 31536000")),
        corrected=binding(engine=partial(with_lock_limit, limit="lock_wait_timeout = 5")),
        not_on=dict.fromkeys(("sqlite", "postgresql"), "Their drivers set no limit for an answer."),
    ),
    "waits_for_ever": Specimen(
        "No limit is set for waits: a change of a table, or a forgotten transaction, stops all requests.",
        met="magento/magento2#19220, strelov1/freehire#1284",
        caught_by=("faults.endless-wait",),
        wrong=binding(engine=pinging),
        not_on={"sqlite": "SQLite's driver gives up after five seconds by default."},
    ),
    "reads_what_nothing_needs": Specimen(
        "A streamed result that is not read to its end is read anyway, when its cursor is closed.",
        met="PyMySQL/mysqlclient#560",
        caught_by=("lifecycle.unread-rows",),
        wrong=binding(engine=pinging),
        not_on=dict.fromkeys(("sqlite", "postgresql"), "A rollback closes their cursors, and reads no row."),
    ),
    "half_a_transaction": Specimen(
        "After a lock wait timeout or a deadlock, the rest of the transaction is committed.",
        met="redaxo/core#5719, opennem/opennem#566",
        caught_by=("transactions.failed-wait",),
        wrong=binding(engine=pinging),
        not_on={
            "sqlite": "SQLite has one writer at a time, which waits for no other.",
            "postgresql": "PostgreSQL commits nothing after an error.",
        },
    ),
    "no_time_limits": Specimen(
        "The driver waits for an answer without a limit: even the pool's ping hangs on a cut network.",
        met="mozilla-ai/clawbolt#1138, SolaceLabs/solace-agent-mesh#1533",
        caught_by=("faults.half-open", "faults.paused"),
        wrong=binding(engine=lambda uri: create_engine(uri, pool_pre_ping=True)),
        corrected=binding(engine=lambda uri: make_engine(uri, pool_pre_ping=True)),
        not_on={"sqlite": "SQLite uses no network."},
    ),
    "impatient": Specimen(
        "Time limits meant for the network or for tests leave no time to wait for another writer.",
        met="savelov/radar-wms#30",
        caught_by=("portability.writer-waits",),
        wrong=ledger(
            sqlite={"connect_args": {"timeout": 0}},
            postgresql={"connect_args": {"options": "-c lock_timeout=50ms"}},
            mysql={"connect_args": {"read_timeout": 0.2}},
        ),
        corrected=ledger(),
    ),
    "pool_waits_for_ever": Specimen(
        "The pool has no time limit: a request that finds no free connection may wait for ever.",
        met="miguelgrinberg/Flask-SocketIO#1040",
        caught_by=("faults.pool-exhausted",),
        wrong=ledger({"pool_timeout": None}),
        corrected=ledger(),
    ),
    "pool_of_one_and_a_leak": Specimen(
        "Each request keeps its connection, and the pool has one: the second request fails.",
        met="pallets-eco/flask-sqlalchemy#339",
        caught_by=("faults.pool-exhausted",),
        wrong=binding(engine=one_connection, end=leave),
        corrected=binding(engine=one_connection, end=remove),
        takes_long=True,
    ),
    "retries_the_statement": Specimen(
        "After a deadlock only the last statement is repeated: the statements before it are lost.",
        met="opennem/opennem#566, keephq/keep#4439",
        caught_by=("transactions.deadlock",),
        wrong=binding(new_session=lambda: RetryingSession(engine())),
        corrected=binding(new_session=lambda: Session(engine())),
        not_on={"sqlite": "SQLite has one writer at a time, so there is no deadlock."},
    ),
    "retries_what_was_lost": Specimen(
        "The session reconnects inside a transaction: only the transaction's second half is committed.",
        met="sqlalchemy/sqlalchemy#5657, #6283",
        caught_by=("faults.lost-in-transaction",),
        wrong=binding(new_session=lambda: ReconnectingSession(engine())),
        corrected=binding(new_session=lambda: Session(engine())),
        not_on={"sqlite": "SQLite has no connection to lose."},
    ),
    "rolls_back_on_every_error": Specimen(
        "A listener rolls back at every error: the session does not know, and commits what follows.",
        met='ema/flask-moresql#4; the answers to "current transaction is aborted" on the web',
        caught_by=("transactions.error-in-savepoint", "transactions.failed-wait"),
        wrong=binding(engine=pinging, prepare=roll_back_on_error),
    ),
    "timeouts_taken_for_losses": Specimen(
        "A listener takes each operational error for a lost connection: the whole pool is replaced.",
        met="level12/pals#28, zalando-zmon/zmon-worker#325",
        caught_by=("faults.statement-timeout",),
        wrong=binding(prepare=take_for_lost),
        not_on={"sqlite": "SQLite has no time limit for a statement."},
    ),
}
