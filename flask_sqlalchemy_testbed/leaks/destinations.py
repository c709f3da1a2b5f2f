"""Note which databases the engines of a test connect to, besides its own."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy.engine import Engine
from sqlalchemy.pool import Pool

from flask_sqlalchemy_testbed.leaks.checkouts import DATABASE_KEY
from flask_sqlalchemy_testbed.subject.engines import made_by_import
from flask_sqlalchemy_testbed.timeline.subscription import Subscription

if TYPE_CHECKING:
    from sqlalchemy.engine import URL, Connection
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

    from flask_sqlalchemy_testbed.databases import Database


class Destinations(Subscription):
    """The databases to which the current test has connected."""

    def __init__(self) -> None:
        self.reached_own = False
        """Whether the test has connected to a database that it was given."""
        self.others: dict[str, bool] = {}
        """The URIs of others without passwords, and whether a test may make such a database for itself."""
        self.made_by_import: dict[str, str] = {}
        """The modules of the app whose import makes the engine of another URI; empty texts for none."""
        self._tracked: dict[str, Database] = {}
        super().__init__([(Pool, "checkout", self._checkout), (Engine, "engine_connect", self._connected)])

    def start(self) -> None:
        """Begin a test."""
        self.reached_own, self.others = False, {}

    def track(self, database: Database) -> None:
        """Count a database as the test's own.

        Args:
            database: A database of the run.
        """
        self._tracked[database.name] = database

    def _checkout(
        self, connection: DBAPIConnection, record: ConnectionPoolEntry, proxy: PoolProxiedConnection
    ) -> None:
        del connection, proxy
        # It knows the database of an engine with a `creator`, too.
        self.reached_own |= bool((record.record_info or {}).get(DATABASE_KEY))

    def _connected(self, connection: Connection) -> None:
        url = connection.engine.url
        if (connection.connection.record_info or {}).get(DATABASE_KEY):
            return
        if any(database.is_named_in(url.database or "") for database in self._tracked.values()):
            self.reached_own = True
        elif url.database or url.get_backend_name() == "sqlite":
            self.others[uri := url.render_as_string()] = _is_scratch(url)
            if uri not in self.made_by_import:
                self.made_by_import[uri] = made_by_import(connection.engine)


def _is_scratch(url: URL) -> bool:
    """Return whether a database is in memory or in the temporary folder."""
    if url.get_backend_name() != "sqlite":
        return False
    name = (url.database or "").removeprefix("file:")
    temporary = Path(tempfile.gettempdir()).resolve()
    return (
        name in {"", ":memory:"}
        or "memory" in url.query.values()
        or Path(name).resolve().is_relative_to(temporary)
    )
