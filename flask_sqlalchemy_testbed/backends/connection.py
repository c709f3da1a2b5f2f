"""The harness's own way into a database: plain DBAPI, in autocommit, seen by no pool and by no event."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from sqlalchemy.engine import URL, Dialect
    from sqlalchemy.engine.interfaces import DBAPIConnection, DBAPICursor


# Drivers that send several statements at once, and whether they tell what each but the last has answered.
AT_ONCE = {"psycopg2": False, "pymysql": True}


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
        self._answers_all = AT_ONCE.get(self._dialect.driver, False)
        self.opened = 0
        """How often: what a server tells of its session is of this one only."""
        self.executed = 0
        """How many statements, by whomever."""
        self.affected: list[int] = []
        """How many rows each statement of the last batch has changed, where the driver tells of each."""

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

    def batch(self, statements: Sequence[str]) -> list[tuple[Any, ...]]:
        """Executes all, in one round trip where the driver can; what the last of them with rows answers."""
        together = ["; ".join(statements)] if self._dialect.driver in AT_ONCE else statements
        answers, affected = [], []
        for statement in together:
            answers.append(self.rows(statement))
            affected += self.affected
        self.affected = affected
        return next((rows for rows in reversed(answers) if rows), [])

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
        self.opened += 1
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

    def _execute(self, connection: DBAPIConnection, statement: str) -> list[tuple[Any, ...]]:
        self.executed += 1
        begun, error = time.monotonic(), None
        cursor = connection.cursor()
        try:
            cursor.execute(statement)
            return self._answer(cursor)
        except Exception as raised:
            error = raised
            raise
        finally:
            cursor.close()
            if Connection.listener is not None:
                Connection.listener(connection, statement, begun, error)

    def _answer(self, cursor: DBAPICursor) -> list[tuple[Any, ...]]:
        rows, self.affected = _rows(cursor), [cursor.rowcount]
        while self._answers_all and cursor.nextset():
            rows = _rows(cursor) or rows
            self.affected.append(cursor.rowcount)
        return rows


def _rows(cursor: DBAPICursor) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in cursor.fetchall()] if cursor.description else []
