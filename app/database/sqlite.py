"""Prepare SQLite: transactions, foreign keys, write-ahead logging, shared memory."""

from __future__ import annotations

import sqlite3
import weakref
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from sqlalchemy import event
from sqlalchemy.util import asbool

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection, Engine
    from sqlalchemy.pool import ConnectionPoolEntry

# sqlite3.LEGACY_TRANSACTION_CONTROL; before Python 3.12 there was no other.
_LEGACY = -1

_memory_names = count(1)


def is_file(url: URL) -> bool:
    """Return whether the database is the file of this path: neither in memory nor a SQLite URI."""
    return url.database not in {None, "", ":memory:"} and not url.database.startswith("file:")


def shared_memory(url: URL) -> URL | None:
    """Return the URL under which all connections share the database in memory of ``url``.

    A database with a name of its own, ``file:name?mode=memory&cache=shared`` or
    ``file:/name?vfs=memdb``, is shared by all engines of the process that give this name. Any
    other is new.

    Args:
        url: A database in memory in any spelling, or any other database.

    Returns:
        The URL, or None if ``url`` is not in memory.
    """
    query = dict(url.query)
    path = url.database or ""
    if is_uri := path.startswith("file:") and asbool(query.get("uri", False)):
        path = unquote(path.removeprefix("file:").removeprefix("//localhost"))
    vfs, mode, cache = (query.pop(name, None) if is_uri else None for name in ("vfs", "mode", "cache"))
    named = path not in {"", ":memory:"}
    if named and vfs != "memdb" and mode != "memory":
        return None
    if named and (path.startswith("/") if vfs == "memdb" else cache == "shared"):
        name = path.lstrip("/")
    else:
        name = f"memory-{next(_memory_names)}"
    # SQLAlchemy's own static pool would share one connection, and so one transaction. With SQLite's
    # shared cache, a statement fails at once at the lock of another transaction, instead of waiting.
    return url.set(database=f"file:/{quote(name)}", query={**query, "vfs": "memdb", "uri": "true"})


def prepare_sqlite(engine: Engine, *, in_memory: bool, autocommit: bool) -> None:
    """Set up the connections of ``engine``, and begin its transactions.

    A file is switched to write-ahead logging, so that readers and the writer do not wait for
    each other. A file that cannot be switched, such as a read-only one, is left as it is.

    Args:
        engine: The engine.
        in_memory: The database is the one that ``shared_memory`` named.
        autocommit: No transaction is begun.
    """
    if in_memory:
        # The database exists while a connection is open, so one stays open as long as the engine exists.
        anchor = sqlite3.connect(f"{engine.url.database}?vfs=memdb", uri=True, check_same_thread=False)
        weakref.finalize(engine, anchor.close)

    def connected(connection: Any, _record: ConnectionPoolEntry) -> None:
        # With autocommit=False the driver has begun a transaction, in which these have no effect.
        driver_begins = getattr(connection, "autocommit", _LEGACY) is False
        if driver_begins:
            connection.autocommit = True
        connection.execute("PRAGMA foreign_keys = ON")
        if not in_memory:
            with suppress(sqlite3.OperationalError):
                connection.execute("PRAGMA journal_mode = WAL")
        if driver_begins:
            connection.autocommit = False

    event.listen(engine, "connect", connected)
    if not autocommit:
        event.listen(engine, "begin", _begin)


def _begin(connection: Connection) -> None:
    """Begin a transaction before its first statement, as ``sqlite_begin`` says.

    The sqlite3 module itself begins at the first change, so that earlier reads and savepoints
    would be outside the transaction. The modes are DEFERRED, the default, and IMMEDIATE, for
    transactions that read before they write: IMMEDIATE waits for the lock of the writer, while
    DEFERRED fails at once when another transaction has written since the read. With the
    argument ``autocommit`` of Python 3.12 the driver alone decides.
    """
    options = connection.get_execution_options()
    if options.get("isolation_level") == "AUTOCOMMIT":
        return
    if getattr(connection.connection.dbapi_connection, "autocommit", _LEGACY) == _LEGACY:
        connection.exec_driver_sql(f"BEGIN {options.get('sqlite_begin', 'DEFERRED')}")
