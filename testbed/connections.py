"""The harness's own way into a database: plain DBAPI, in autocommit, seen by no pool and by no event."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from sqlalchemy.engine import URL, Dialect
    from sqlalchemy.engine.interfaces import DBAPIConnection


class Connection:
    """Answers questions and changes things at once, each statement its own transaction.

    It is opened on first use. `setup` runs on each new connection, so that what it holds (a lock, a time
    limit) is there again when the server has dropped the last one; the statement that met that is repeated.
    Not for two threads at a time.
    """

    # Called with each statement after it has ended: on which connection, when it began, what it raised.
    listener: ClassVar[Callable[[DBAPIConnection, str, float, Exception | None], None] | None] = None

    def __init__(
        self, url: URL, *, options: Mapping[str, object] | None = None, setup: Iterable[str] = ()
    ) -> None:
        self.url = url
        self.setup = list(setup)
        self._options = dict(options or {})
        self._dialect: Dialect = url.get_dialect()()
        self._dialect.dbapi = url.get_dialect().import_dbapi()
        self._dbapi: DBAPIConnection | None = None

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """What the statement answers, be it nothing; the driver's errors go through."""
        if self._dbapi is not None:
            try:
                return self._execute(self._dbapi, statement)
            except Exception as error:
                if not self._is_lost(error):
                    raise
                self.close()
        self._dbapi = self._open()
        return self._execute(self._dbapi, statement)

    def run(self, statements: Sequence[str]) -> None:
        """Executes one after the other."""
        for statement in statements:
            self.rows(statement)

    def close(self) -> None:
        """Closes what is open; it may be used again."""
        connection, self._dbapi = self._dbapi, None
        if connection is not None:
            with contextlib.suppress(Exception):
                connection.close()

    def _open(self) -> DBAPIConnection:
        args, options = self._dialect.create_connect_args(self.url)
        connection = self._dialect.connect(*args, **{**options, **self._options})
        try:
            self._dialect.set_isolation_level(connection, "AUTOCOMMIT")
            for statement in self.setup:
                self._execute(connection, statement)
        except BaseException:
            connection.close()
            raise
        return connection

    def _is_lost(self, error: Exception) -> bool:
        dbapi = self._dialect.loaded_dbapi
        return isinstance(error, dbapi.Error) and self._dialect.is_disconnect(error, self._dbapi, None)

    @staticmethod
    def _execute(connection: DBAPIConnection, statement: str) -> list[tuple[Any, ...]]:
        begun, error = time.monotonic(), None
        cursor = connection.cursor()
        try:
            cursor.execute(statement)
            return [tuple(row) for row in cursor.fetchall()] if cursor.description else []
        except Exception as raised:
            error = raised
            raise
        finally:
            cursor.close()
            if Connection.listener is not None:
                Connection.listener(connection, statement, begun, error)
