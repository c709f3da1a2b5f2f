"""Connect for the harness itself: plain DBAPI, without a pool and SQLAlchemy's events."""

from __future__ import annotations

import contextlib
import gc
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from sqlalchemy.engine import URL, Dialect
    from sqlalchemy.engine.interfaces import DBAPIConnection, DBAPICursor


@dataclass(frozen=True)
class BatchDriver:
    """A driver that executes several statements in one round trip."""

    all_results: bool
    """Whether `nextset` returns the result of every statement; otherwise there is only the last one."""
    options: Mapping[str, object] = field(default_factory=dict)
    """Options for its connections."""


# By SQLAlchemy's name for the driver. Other drivers execute the statements of a batch one by one.
BATCH_DRIVERS = {
    "psycopg2": BatchDriver(all_results=False),
    # By default, psycopg prepares a repeated query, which then fails if its table was altered.
    "psycopg": BatchDriver(all_results=True, options={"prepare_threshold": None}),
    "pymysql": BatchDriver(all_results=True, options={"client_flag": 1 << 16}),  # MULTI_STATEMENTS
}

_connecting = threading.local()
# MySQL and MariaDB share the modules of their dialects, and concurrent first imports of them fail.
_importing = threading.Lock()


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """Let one thread at a time import modules of SQLAlchemy, and collect no garbage meanwhile.

    Imports create many objects and no garbage: a third of their time would be lost on the search for it.
    """
    with _importing:
        collects = gc.isenabled()
        gc.disable()
        try:
            yield
        finally:
            if collects:
                gc.enable()


def import_dialect(url: URL) -> type[Dialect]:
    """Import the dialect and driver of this URL; any thread may, also the first time.

    Returns:
        The class of the dialect.

    Raises:
        ImportError: The driver is not installed.
        sqlalchemy.exc.NoSuchModuleError: SQLAlchemy does not know the dialect or driver.
    """
    with importing():
        dialect = url.get_dialect()
        dialect.import_dbapi()
    return dialect


# PyMySQL loads the certificates of the system for each connection, which takes 25 ms, and verifies none. By the
# URL of the server: options that make later connections as the first one, encrypted or not.
_tls_options: dict[URL, dict[str, object]] = {}


def is_connecting() -> bool:
    """Return whether this thread is opening a connection of the harness, not one of the app."""
    return getattr(_connecting, "now", False)


class Connection:
    """A connection in autocommit: each statement is a transaction.

    It connects on first use. If the server has dropped the connection, the next statement connects again
    and is repeated. One thread at a time may use it.

    Args:
        url: The database, with its driver.
        options: Options of the driver, such as `Backend.connect_options`.
        setup: Statements to execute on each new connection, such as `Backend.session_setup`.
    """

    # Called after each statement with the connection, the statement, its start time and its exception.
    listener: ClassVar[Callable[[DBAPIConnection, str, float, Exception | None], None] | None] = None

    def __init__(
        self, url: URL, *, options: Mapping[str, object] | None = None, setup: Iterable[str] = ()
    ) -> None:
        self.url = url
        self.setup = list(setup)
        dialect = import_dialect(url)
        self._dialect: Dialect = dialect()
        self._dialect.dbapi = dialect.import_dbapi()
        self._batch_driver = BATCH_DRIVERS.get(self._dialect.driver)
        self._options = {**(self._batch_driver.options if self._batch_driver else {}), **(options or {})}
        self._dbapi: DBAPIConnection | None = None
        self.times_connected = 0
        """The number of connections so far: a server forgets the state of a session when the session ends."""
        self.statement_count = 0
        """The number of statements executed so far."""
        self.row_counts: list[int] = []
        """The number of rows that each statement of the last batch has changed, if the driver reports it."""

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Execute the statement and return its rows, if any.

        Args:
            statement: SQL without parameters.

        Returns:
            The rows; an empty list if the statement returns none.

        Raises:
            Exception: The driver's own exception.
        """
        if self._dbapi is not None:
            try:
                return self._execute(self._dbapi, statement)
            except Exception as error:
                if not self._is_lost(error):
                    raise
                self.close()
        self._dbapi = self._connect()
        return self._execute(self._dbapi, statement)

    def batch(self, statements: Sequence[str]) -> list[tuple[Any, ...]]:
        """Execute the statements, in one round trip if the driver can.

        Args:
            statements: SQL without parameters, each without a semicolon at its end.

        Returns:
            The rows of the last statement that returned any.
        """
        texts = ["; ".join(statements)] if self._batch_driver else statements
        results, row_counts = [], []
        for text in texts:
            results.append(self.rows(text))
            row_counts += self.row_counts
        self.row_counts = row_counts
        return next((rows for rows in reversed(results) if rows), [])

    def run(self, statements: Sequence[str]) -> None:
        """Execute the statements one by one.

        Args:
            statements: SQL without parameters.
        """
        for statement in statements:
            self.rows(statement)

    def close(self) -> None:
        """Disconnect; the next statement connects again."""
        connection, self._dbapi = self._dbapi, None
        if connection is not None:
            with contextlib.suppress(Exception):
                connection.close()

    def _connect(self) -> DBAPIConnection:
        args, options = self._dialect.create_connect_args(self.url)
        server = self.url.set(database="")
        tls = _tls_options.get(server, {})
        _connecting.now = True
        try:
            connection = self._dialect.connect(*args, **{**tls, **options, **self._options})
        finally:
            _connecting.now = False
        if hasattr(connection, "_secure"):
            _tls_options[server] = {"ssl": connection.ctx} if connection._secure else {"ssl_disabled": True}  # noqa: SLF001 - PyMySQL has no public name
        self.times_connected += 1
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
        self.statement_count += 1
        started, error = time.monotonic(), None
        cursor = connection.cursor()
        try:
            cursor.execute(statement)
            return self._fetch(cursor)
        except Exception as raised:
            error = raised
            raise
        finally:
            cursor.close()
            if Connection.listener is not None:
                Connection.listener(connection, statement, started, error)

    def _fetch(self, cursor: DBAPICursor) -> list[tuple[Any, ...]]:
        rows, self.row_counts = _rows(cursor), [cursor.rowcount]
        while self._batch_driver and self._batch_driver.all_results and cursor.nextset():
            rows = _rows(cursor) or rows
            self.row_counts.append(cursor.rowcount)
        return rows


def _rows(cursor: DBAPICursor) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in cursor.fetchall()] if cursor.description else []
