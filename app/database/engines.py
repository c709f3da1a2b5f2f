"""Create engines with the settings that each database needs: driver, connection settings, time limits.

The caller's settings replace these defaults: options of ``make_engine``, names in its
``connect_args``, and names in the query of the URI.
"""

from __future__ import annotations

import select
import sqlite3
import time
import weakref
from importlib.util import find_spec
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

_MYSQL: dict[str, Any] = {
    # Replaces a pooled connection that the server has closed.
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
    # How long the sqlite3 module waits for a lock.
    "sqlite": {"connect_args": {"timeout": CONNECT_SECONDS}},
    "postgresql": {
        "pool_pre_ping": True,
        "connect_args": {
            "connect_timeout": CONNECT_SECONDS,
            "options": f"-c timezone=UTC -c statement_timeout={ANSWER_SECONDS}s",
            # The limit in milliseconds for data that the server does not acknowledge;
            # statement_timeout is the limit for a server that does.
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
    """Parse ``uri`` and complete its driver, its directory and its password.

    Args:
        uri: The database. A scheme without a driver gets an installed driver: psycopg2, else
            psycopg 3, for PostgreSQL (``postgres://`` too); PyMySQL for MySQL and MariaDB.
        directory: Where a relative SQLite path begins, by default the working directory. The
            parent directory of the file is created.
        password_file: The first line of this file replaces the password.

    Raises:
        ValueError: The URI cannot be parsed, or is ambiguous. The message does not contain the
            URI, which may hold a password.
        OSError: The password file cannot be read.
    """
    try:
        url = make_url(uri)
    except ArgumentError:
        message = "The database URI cannot be parsed. Write it as dialect://user:password@host/database."
        raise ValueError(message) from None
    url = url.set(drivername=_with_driver(url.drivername))
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
    """Create an engine with the defaults of its database. It connects on first use.

    A SQLite database in memory is shared by all connections of the engine, each with its own
    transaction. It is deleted with the engine.

    Args:
        uri: As for ``database_url``.
        directory: As for ``database_url``.
        options: Arguments for ``create_engine``.

    Returns:
        The engine. The caller disposes of it. A connection that is in use at that moment is
        closed when it comes back to the pool.

    Raises:
        ValueError: As ``database_url``.
        TypeError: ``create_engine`` does not accept one of the options.
    """
    url = database_url(uri, directory=directory)
    backend = url.get_backend_name()
    in_memory = backend == "sqlite" and url.database in {None, "", ":memory:"}
    if in_memory:
        # SQLAlchemy's own static pool would share one connection, and so one transaction.
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
        # The database exists while a connection is open, so one stays open as long as the engine exists.
        anchor = sqlite3.connect(f"{url.database}?vfs=memdb", uri=True, check_same_thread=False)
        weakref.finalize(engine, anchor.close)
    elif backend == "sqlite":
        event.listen(engine, "connect", _write_ahead)
    if backend == "sqlite":
        event.listen(engine, "connect", _enforce_foreign_keys)
        if settings.get("isolation_level") != "AUTOCOMMIT":
            event.listen(engine, "begin", _begin_sqlite)
    _close_connections_in_use_at_dispose(engine)
    return engine


def limit_waits(engine: Engine, seconds: float) -> None:
    """Limit how long a connection to PostgreSQL waits for an answer. Other databases are left alone.

    Only this limit frees a thread from a server that is frozen as a whole, paused or swapped
    out: its kernel still acknowledges data. When the time is over, the connection is closed
    and ``OperationalError`` is raised. Set a limit longer than ``statement_timeout``, or every
    slow statement loses its connection.

    Args:
        engine: The engine whose connections are limited. With psycopg2 the limit applies to
            every connection of the process.
        seconds: The limit for each answer.
    """
    if engine.driver == "psycopg2":
        _limit_psycopg2(seconds)
    elif engine.driver == "psycopg":
        _limit_psycopg(engine, seconds)


def _limit_psycopg2(seconds: float) -> None:
    # Imported here, because the driver is not always installed.
    import psycopg2  # noqa: PLC0415
    from psycopg2.extensions import POLL_OK, POLL_READ, POLL_WRITE, set_wait_callback  # noqa: PLC0415

    def wait(connection: psycopg2.extensions.connection) -> None:
        events = {POLL_READ: select.POLLIN, POLL_WRITE: select.POLLOUT}
        while (state := connection.poll()) != POLL_OK:
            poll = select.poll()
            poll.register(connection.fileno(), events[state])
            if not poll.poll(seconds * 1000):
                raise psycopg2.OperationalError(_no_answer(seconds))

    set_wait_callback(wait)


def _limit_psycopg(engine: Engine, seconds: float) -> None:
    # Imported here, because the driver is not always installed.
    import psycopg  # noqa: PLC0415

    class LimitedConnection(psycopg.Connection[Any]):
        def wait(self, gen: Any, *args: Any, **options: Any) -> Any:
            return super().wait(self._limited(gen), *args, **options)

        def _limited(self, gen: Any) -> Any:
            ready, deadline = None, time.monotonic() + seconds
            try:
                while True:
                    # psycopg sends a false value, ten times a second, while the socket is not ready.
                    ready = yield gen.send(ready)
                    if ready:
                        deadline = time.monotonic() + seconds
                    elif time.monotonic() > deadline:
                        self.close()
                        raise psycopg.OperationalError(_no_answer(seconds))
            except StopIteration as end:
                return end.value

    def connect(_dialect: object, _record: object, args: Any, options: Any) -> Any:
        return LimitedConnection.connect(*args, **options)

    event.listen(engine, "do_connect", connect)


def _no_answer(seconds: float) -> str:
    return f"The server has not answered for {seconds} s."


def _with_driver(name: str) -> str:
    # SQLAlchemy's own choice for a bare scheme is psycopg 3 and mysqlclient; it refuses postgres://.
    if name in {"postgres", "postgresql"}:
        return "postgresql+psycopg2" if find_spec("psycopg2") else "postgresql+psycopg"
    return f"{name}+pymysql" if name in {"mysql", "mariadb"} else name


def _in_directory(url: URL, directory: str | PathLike[str] | None) -> URL:
    if directory is None or url.database in {None, "", ":memory:"} or url.database.startswith("file:"):
        return url
    if Path(url.database).is_absolute():
        return url
    path = Path(directory, url.database)
    path.parent.mkdir(parents=True, exist_ok=True)
    return url.set(database=str(path))


def _enforce_foreign_keys(connection: sqlite3.Connection, _record: ConnectionPoolEntry) -> None:
    connection.execute("PRAGMA foreign_keys = ON")


def _write_ahead(connection: sqlite3.Connection, _record: ConnectionPoolEntry) -> None:
    # With write-ahead logging, readers and the writer of a file do not wait for each other.
    connection.execute("PRAGMA journal_mode = WAL")


def _begin_sqlite(connection: Connection) -> None:
    """Begin a transaction before its first statement, in the mode of the option ``sqlite_begin``.

    The sqlite3 module itself begins at the first change, so that earlier reads and savepoints
    would be outside the transaction. The modes are DEFERRED, the default, and IMMEDIATE, for
    transactions that read before they write: IMMEDIATE waits for the lock of the writer, while
    DEFERRED fails at once when another transaction has written since the read.
    """
    options = connection.get_execution_options()
    if options.get("isolation_level") != "AUTOCOMMIT":
        connection.exec_driver_sql(f"BEGIN {options.get('sqlite_begin', 'DEFERRED')}")


def _close_connections_in_use_at_dispose(engine: Engine) -> None:
    """Close a connection that was checked out when its engine was disposed of.

    ``dispose()`` does not know such a connection, and its old pool would keep it open.
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
