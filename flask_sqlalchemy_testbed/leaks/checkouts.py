"""Track the connections that are checked out, by the events of all pools.

Some pools cannot list their connections.
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy.engine import Engine
from sqlalchemy.pool import Pool

from flask_sqlalchemy_testbed.leaks import callers, threads
from flask_sqlalchemy_testbed.redaction import know
from flask_sqlalchemy_testbed.subject import app_threads
from flask_sqlalchemy_testbed.timeline.subscription import Subscription

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.engine import Dialect
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

    from flask_sqlalchemy_testbed.databases import Database

# The key in a connection's `record_info` with the name of the database that it is connected to.
DATABASE_KEY = "testbed.database"


@dataclass(slots=True, eq=False, weakref_slot=True)
class Checkout:
    """A connection that is checked out of its pool."""

    database: str
    callers: callers.Callers
    thread: threading.Thread
    connection: weakref.ref[PoolProxiedConnection]
    detached: bool = False


class Checkouts(Subscription):
    """The connections that are checked out to the tracked databases; others are ignored.

    There is no lock: in the middle of any function the garbage collector may return a connection to its pool,
    in the same thread. Each function changes the dictionary in single steps, and reads a copy.
    """

    def __init__(self) -> None:
        self._tracked: dict[str, Database] = {}
        self._current: Database | None = None
        self._checkouts: dict[int, Checkout] = {}
        super().__init__(
            [
                (Engine, "do_connect", self._do_connect),
                (Pool, "connect", self._connect),
                (Pool, "checkout", self._checkout),
                (Pool, "checkin", self._checkin),
                (Pool, "detach", self._detach),
                (Pool, "close_detached", self._close_detached),
            ]
        )

    def track(self, database: Database) -> None:
        """Track new connections to this database, which the current test uses."""
        self._tracked[database.name] = self._current = database

    def of(self, database: Database) -> list[Checkout]:
        """Return the connections that are checked out to this database now."""
        return [
            checkout
            for checkout in list(self._checkouts.values())
            if checkout.database == database.name
            # SQLAlchemy sends no event when the last reference to a detached connection closes it.
            and (not checkout.detached or checkout.connection() is not None)
        ]

    def close(self, checkout: Checkout) -> None:
        """Close the connection, also a detached one, and free its place in the pool.

        One on which another thread executes a statement is interrupted first. If that does not help, it is
        left open: the process would crash.
        """
        connection = checkout.connection()
        if connection is not None and threads.is_in_sqlalchemy(checkout.thread):
            # Drivers that have no such method close their socket, which harms no other thread.
            interrupt = getattr(connection.dbapi_connection, "interrupt", None)
            if interrupt is not None:
                interrupt()
                if not threads.wait_until(lambda: not threads.is_in_sqlalchemy(checkout.thread)):
                    connection = None
        if connection is not None:
            detached = connection.dbapi_connection if checkout.detached else None
            with contextlib.suppress(Exception):
                connection.invalidate()
                if detached is not None:  # It has no pool that would close it.
                    detached.close()
        for key, known in list(self._checkouts.items()):
            if known is checkout:
                self._checkouts.pop(key, None)

    def _find(self, values: Sequence[object]) -> str | None:
        """Return the tracked database that one of these connection arguments names."""
        texts = [value for value in values if isinstance(value, str)]
        return next(
            (name for name, database in self._tracked.items() if any(map(database.is_named_in, texts))), None
        )

    def _do_connect(
        self,
        dialect: Dialect,
        record: ConnectionPoolEntry | None,
        args: Sequence[Any],
        options: Mapping[str, Any],
    ) -> None:
        del dialect
        # The app may have it from a file, or from a vault.
        know(options.get("password") or options.get("passwd"))
        if record is not None and record.record_info is not None:
            name = self._find([*args, *options.values()])
            # Another `Checkouts` may track a database that this one does not.
            record.record_info[DATABASE_KEY] = name or record.record_info.get(DATABASE_KEY)

    def _connect(self, connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:
        # An engine with a `creator` sends no `do_connect`: ask the connection for its database.
        if record.record_info is not None and DATABASE_KEY not in record.record_info:
            record.record_info[DATABASE_KEY] = self._ask(connection)

    def _ask(self, connection: DBAPIConnection) -> str | None:
        if self._current is None:
            return None
        with contextlib.suppress(Exception):  # The connection may be to another kind of database.
            cursor = connection.cursor()
            try:
                cursor.execute(self._current.backend.current_database)
                return self._find(cursor.fetchone() or ())
            finally:
                cursor.close()
                connection.rollback()
        return None

    def _checkout(
        self, connection: DBAPIConnection, record: ConnectionPoolEntry, proxy: PoolProxiedConnection
    ) -> None:
        del connection
        if name := (record.record_info or {}).get(DATABASE_KEY):
            thread = threading.current_thread()
            self._checkouts[id(record)] = Checkout(name, callers.of_this_call(), thread, weakref.ref(proxy))
        app_threads.note_use()
        # A connection of the pool may outlive the check, too.
        app_threads.end_if_over()

    def _checkin(self, connection: DBAPIConnection | None, record: ConnectionPoolEntry) -> None:
        del connection
        self._checkouts.pop(id(record), None)

    def _detach(self, connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:
        if checkout := self._checkouts.pop(id(record), None):
            checkout.detached = True
            self._checkouts[id(connection)] = checkout

    def _close_detached(self, connection: DBAPIConnection) -> None:
        self._checkouts.pop(id(connection), None)
