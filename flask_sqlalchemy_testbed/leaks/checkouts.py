"""Knows which connections are checked out, from the events of every pool: not every pool can be asked."""

from __future__ import annotations

import contextlib
import threading
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.pool import Pool

from flask_sqlalchemy_testbed.leaks import stacks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.engine import Dialect
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

    from flask_sqlalchemy_testbed.databases import Database

DATABASE_KEY = "testbed.database"


@dataclass(slots=True)
class Checkout:
    """A connection to a database of this run that somebody has taken and not given back."""

    database: str
    place: stacks.Place
    thread: str
    connection: weakref.ref[PoolProxiedConnection]
    detached: bool = False


class Checkouts:
    """Listens while it is installed; only connections to the databases that it watches are its business."""

    def __init__(self) -> None:
        self._watched: dict[str, Database] = {}
        self._current: Database | None = None
        self._out: dict[int, Checkout] = {}
        self._lock = threading.Lock()
        self._listeners = (
            (Engine, "do_connect", self._do_connect),
            (Pool, "connect", self._connect),
            (Pool, "checkout", self._checkout),
            (Pool, "checkin", self._checkin),
            (Pool, "detach", self._detach),
            (Pool, "close_detached", self._close_detached),
        )

    def install(self) -> None:
        """Begins to listen, on engines that are there already too."""
        for target, name, listener in self._listeners:
            event.listen(target, name, listener)

    def remove(self) -> None:
        """Stops listening."""
        for target, name, listener in self._listeners:
            event.remove(target, name, listener)

    def watch(self, database: Database) -> None:
        """From now on connections to it are known; it is the one that a test uses now."""
        self._watched[database.name] = self._current = database

    def of(self, database: Database) -> list[Checkout]:
        """What is checked out of it now."""
        with self._lock:
            return [out for out in self._out.values() if out.database == database.name and self._is_open(out)]

    def give_back(self, checkout: Checkout) -> None:
        """Closes the connection and empties its place in the pool, in whatever state its user left it."""
        connection = checkout.connection()
        if connection is not None:
            detached = connection.dbapi_connection if checkout.detached else None
            with contextlib.suppress(Exception):
                connection.invalidate()
                if detached is not None:  # No pool closes it.
                    detached.close()
        with self._lock:
            self._out = {key: out for key, out in self._out.items() if out is not checkout}

    @staticmethod
    def _is_open(out: Checkout) -> bool:
        # A detached connection is closed with its last reference, and no event tells.
        return not out.detached or out.connection() is not None

    def _find(self, words: Sequence[object]) -> str | None:
        texts = [word for word in words if isinstance(word, str)]
        return next(
            (name for name, database in self._watched.items() if any(map(database.is_named_in, texts))), None
        )

    def _do_connect(
        self,
        dialect: Dialect,
        record: ConnectionPoolEntry | None,
        args: Sequence[Any],
        options: Mapping[str, Any],
    ) -> None:
        del dialect
        if record is not None and record.record_info is not None:
            name = self._find([*args, *options.values()])
            # Another listener may watch what this one does not.
            record.record_info[DATABASE_KEY] = name or record.record_info.get(DATABASE_KEY)

    def _connect(self, connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:
        # An engine with a `creator` connects by itself, so only the connection knows where it went.
        if record.record_info is not None and DATABASE_KEY not in record.record_info:
            record.record_info[DATABASE_KEY] = self._ask(connection)

    def _ask(self, connection: DBAPIConnection) -> str | None:
        if self._current is None:
            return None
        with contextlib.suppress(Exception):  # It may be to quite another kind of database.
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
            checkout = Checkout(name, stacks.here(), threading.current_thread().name, weakref.ref(proxy))
            with self._lock:
                self._out[id(record)] = checkout

    def _checkin(self, connection: DBAPIConnection | None, record: ConnectionPoolEntry) -> None:
        del connection
        with self._lock:
            self._out.pop(id(record), None)

    def _detach(self, connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:
        with self._lock:
            if checkout := self._out.pop(id(record), None):
                checkout.detached = True
                self._out[id(connection)] = checkout

    def _close_detached(self, connection: DBAPIConnection) -> None:
        with self._lock:
            self._out.pop(id(connection), None)
