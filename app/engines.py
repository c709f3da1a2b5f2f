"""What each database needs of its engine: the driver, the connection's settings, its limits.

Whoever calls decides: an option given to ``make_engine``, in its ``connect_args`` or in the
query of the URI, replaces the default of that name.
"""

from __future__ import annotations

import select
import sqlite3
import weakref
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError

if TYPE_CHECKING:
    from os import PathLike

    from sqlalchemy import Connection, Engine
    from sqlalchemy.pool import ConnectionPoolEntry

CONNECT_SECONDS = 5
ANSWER_SECONDS = 30

# SQLAlchemy 2.1 reads the bare names as psycopg 3 and mysqlclient, and knows no postgres://.
DRIVERS = {
    "postgres": "postgresql+psycopg2",
    "postgresql": "postgresql+psycopg2",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
}

_MYSQL: dict[str, Any] = {
    # A pooled connection that the server has closed is replaced, not handed out.
    "pool_pre_ping": True,
    "connect_args": {
        "charset": "utf8mb4",
        "init_command": "SET time_zone = '+00:00', sql_mode = 'TRADITIONAL,ONLY_FULL_GROUP_BY'",
        "connect_timeout": CONNECT_SECONDS,
        "read_timeout": ANSWER_SECONDS,
        "write_timeout": ANSWER_SECONDS,
    },
}
_DEFAULTS: dict[str, dict[str, Any]] = {
    # The sqlite3 module waits for a lock this long.
    "sqlite": {"connect_args": {"timeout": CONNECT_SECONDS}},
    "postgresql": {
        "pool_pre_ping": True,
        "connect_args": {
            "connect_timeout": CONNECT_SECONDS,
            "options": f"-c timezone=UTC -c statement_timeout={ANSWER_SECONDS}s",
            # Data that nobody acknowledges; the server's side of a timeout is statement_timeout.
            "tcp_user_timeout": ANSWER_SECONDS * 1000,
        },
    },
    "mysql": _MYSQL,
    "mariadb": _MYSQL,
}

_memory_names = count(1)


def database_url(
    uri: str | URL,
    *,
    directory: str | PathLike[str] | None = None,
    password_file: str | PathLike[str] | None = None,
) -> URL:
    """Read ``uri`` as it is meant here.

    A bare scheme means the driver that is installed; a relative SQLite path is one in
    ``directory`` (by default the working directory), which is made; the first line of
    ``password_file`` replaces the password.

    Raises ``ValueError`` for a URI that cannot be meant, and ``OSError`` for a password file
    that cannot be read. No message contains the URI: it may hold a password.
    """
    try:
        url = make_url(uri)
    except ArgumentError:
        message = "The database URI cannot be parsed. Write it as dialect://user:password@host/database."
        raise ValueError(message) from None
    url = url.set(drivername=DRIVERS.get(url.drivername, url.drivername))
    if url.get_backend_name() == "sqlite":
        return _in_directory(url, directory)
    if "@" in f"{url.host}{url.database}":
        # p@ss would be read as the password p on the host ss.
        message = "The database URI has an unquoted '@'. In a password write %40, or use a password file."
        raise ValueError(message)
    if password_file is not None:
        url = url.set(password=Path(password_file).read_text(encoding="utf-8").split("\n", 1)[0])
    return url


def make_engine(uri: str | URL, *, directory: str | PathLike[str] | None = None, **options: Any) -> Engine:
    """Create an engine with the defaults of its database. It connects on first use."""
    url = database_url(uri, directory=directory)
    backend = url.get_backend_name()
    in_memory = backend == "sqlite" and url.database in {None, "", ":memory:"}
    if in_memory:
        # Not the usual static pool, where all threads share one connection and its transaction.
        url = url.set(database=f"file:/memory-{next(_memory_names)}", query={"vfs": "memdb", "uri": "true"})
    settings = {**_DEFAULTS.get(backend, {}), **options}
    settings["connect_args"] = {
        **{
            name: value
            for name, value in _DEFAULTS.get(backend, {}).get("connect_args", {}).items()
            if name not in url.query
        },
        **options.get("connect_args", {}),
    }
    engine = create_engine(url, **settings)
    if in_memory:
        # The database is there for as long as a connection is: one that lives with the engine.
        anchor = sqlite3.connect(f"{url.database}?vfs=memdb", uri=True, check_same_thread=False)
        weakref.finalize(engine, anchor.close)
    elif backend == "sqlite":
        event.listen(engine, "connect", _write_ahead)
    if backend == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        if settings.get("isolation_level") != "AUTOCOMMIT":
            event.listen(engine, "begin", _begin_sqlite)
    _close_what_comes_back_late(engine)
    return engine


def bound_psycopg2_waits(seconds: float) -> None:
    """Let no psycopg2 connection of this *process* wait for an answer longer than this.

    Nothing else frees a thread from a PostgreSQL server that is frozen whole (paused, swapped
    out): its kernel still acknowledges. The connection is closed and ``OperationalError``
    raised. Longer than ``statement_timeout``, or every slow statement loses its connection.
    """
    # Here, since nothing else needs the driver of a database that may not be used.
    import psycopg2  # noqa: PLC0415
    from psycopg2.extensions import POLL_OK, POLL_READ, POLL_WRITE, set_wait_callback  # noqa: PLC0415

    def wait(connection: psycopg2.extensions.connection) -> None:
        events = {POLL_READ: select.POLLIN, POLL_WRITE: select.POLLOUT}
        while (state := connection.poll()) != POLL_OK:
            poll = select.poll()
            poll.register(connection.fileno(), events[state])
            if not poll.poll(seconds * 1000):
                message = f"The server has not answered for {seconds} s."
                raise psycopg2.OperationalError(message)

    set_wait_callback(wait)


def _in_directory(url: URL, directory: str | PathLike[str] | None) -> URL:
    if directory is None or url.database in {None, "", ":memory:"} or url.database.startswith("file:"):
        return url
    if Path(url.database).is_absolute():
        return url
    path = Path(directory, url.database)
    path.parent.mkdir(parents=True, exist_ok=True)
    return url.set(database=str(path))


def _prepare_sqlite(connection: sqlite3.Connection, _record: ConnectionPoolEntry) -> None:
    connection.execute("PRAGMA foreign_keys = ON")


def _write_ahead(connection: sqlite3.Connection, _record: ConnectionPoolEntry) -> None:
    # Readers and the writer of a file do not wait for each other.
    connection.execute("PRAGMA journal_mode = WAL")


def _begin_sqlite(connection: Connection) -> None:
    """Begin, as ``sqlite_begin`` in the execution options says: DEFERRED, IMMEDIATE.

    The sqlite3 module on its own begins at the first change: reads before it, and savepoints,
    would be outside the transaction.
    A transaction that reads before it writes takes its lock at once with IMMEDIATE; DEFERRED,
    it fails without waiting when another has written meanwhile.
    """
    options = connection.get_execution_options()
    if options.get("isolation_level") != "AUTOCOMMIT":
        connection.exec_driver_sql(f"BEGIN {options.get('sqlite_begin', 'DEFERRED')}")


def _close_what_comes_back_late(engine: Engine) -> None:
    """Close a connection that was checked out when its engine was disposed of.

    ``dispose`` does not know it, and its old pool would keep it open.
    """
    epoch = [0]

    def connected(_connection: object, record: ConnectionPoolEntry) -> None:
        record.info["epoch"] = epoch[0]

    def disposed(_engine: Engine) -> None:
        epoch[0] += 1

    def returned(_connection: object, record: ConnectionPoolEntry) -> None:
        if record.info.get("epoch", epoch[0]) != epoch[0]:
            record.invalidate()

    event.listen(engine, "connect", connected)
    event.listen(engine, "engine_disposed", disposed)
    event.listen(engine, "checkin", returned)
