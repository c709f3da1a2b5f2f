"""Discard the unread rows of a streamed result of PyMySQL instead of reading them all.

PyMySQL reads every row that is left when it closes a streaming cursor, and before each command,
ROLLBACK included.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from sqlalchemy import event

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

# Reading this many rows is faster than a new connection.
FEW_ROWS = 100


def discard_unread_rows(engine: Engine) -> None:
    """Close a connection that ends its transaction with unread rows of a stream.

    The pool opens another. A commit or another statement on the connection still reads all rows,
    since the transaction needs the connection. Drivers other than PyMySQL are left alone.
    """
    if engine.driver == "pymysql" and engine.dialect.supports_server_side_cursors:
        engine.dialect._sscursor = _streaming_cursor()  # type: ignore[attr-defined] # noqa: SLF001 - no public way
        event.listen(engine, "before_cursor_execute", _read_all)
        event.listen(engine, "commit", _read_all)
        event.listen(engine, "rollback", _discard)
        event.listen(engine, "rollback_twophase", _discard)


def _streaming_cursor() -> type:
    # Imported here, because the driver is not always installed.
    from pymysql.cursors import SSCursor  # noqa: PLC0415
    from pymysql.err import InterfaceError  # noqa: PLC0415

    class StreamingCursor(SSCursor):
        """Leave unread rows unread when it is closed or deleted."""

        connection: Any
        _result: Any

        def close(self) -> None:
            if self.connection is not None and self._result is not None and _unread(self.connection):
                self._result.abandoned = True
                self.connection = None
            else:
                super().close()

        __del__ = close

        def read_next(self) -> Any:
            if getattr(self._result, "discarded", False):
                message = "The transaction of this streamed result has ended."
                raise InterfaceError(message)
            return super().read_next()

    return StreamingCursor


def _unread(driver: Any) -> Any:
    """Return the result whose rows the server still sends, or None."""
    result = driver._result  # noqa: SLF001 - no public way
    return result if result is not None and result.unbuffered_active else None


def _read_all(connection: Connection, *_: object) -> None:
    # PyMySQL would do this with a warning, which is right only while the result is in use.
    driver: Any = connection.connection.dbapi_connection
    result = _unread(driver)
    if getattr(result, "abandoned", False):
        with suppress(driver.Error):  # The command that follows fails too, and SQLAlchemy sees it.
            result._finish_unbuffered_query()  # noqa: SLF001 - no public way


def _discard(connection: Connection, *_event: object) -> None:
    if connection.invalidated:
        return
    driver: Any = connection.connection.dbapi_connection
    result = _unread(driver)
    if result is None:
        return
    with suppress(driver.Error):
        for _ in range(FEW_ROWS):
            if result._read_rowdata_packet_unbuffered() is None:  # noqa: SLF001 - no public way
                return
    # PyMySQL's finalizers must not read from the closed connection.
    result.unbuffered_active, result.discarded = False, True
    connection.invalidate()
