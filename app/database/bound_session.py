"""Refuse a session after its end, and end it even while another thread uses it."""

from __future__ import annotations

import logging
import threading
import weakref
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, event
from sqlalchemy.exc import DBAPIError, IllegalStateChangeError
from sqlalchemy.orm import Session

from . import forks

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.engine import ExceptionContext
    from sqlalchemy.engine.interfaces import ExecutionContext
    from sqlalchemy.orm import SessionTransaction

    from .bindings import Binding

log = logging.getLogger(__name__)


class StaleSessionError(RuntimeError):
    """The session has ended, or its engine was replaced. The message says what to call."""


class BoundSession(Session):
    """A session that is refused after it has ended, or after its engine was replaced."""

    binding: Binding | None = None
    """The owner of ``engine``; None if the session was made for another engine."""
    engine: Engine | None = None
    """The engine of the binding when the session was made."""
    follows_scope = False
    """Whether the scope chose the engine, and not the caller."""
    _refusal = ""
    _opens_connections = True
    _executing_thread: int | None = None
    _is_streaming = False
    _is_left_to_thread = False

    def __init__(self, *args: Any, **options: Any) -> None:
        self._lock = threading.RLock()
        super().__init__(*args, **options)

    def get_bind(self, *args: Any, **options: Any) -> Engine | Connection:
        """Return the engine, or raise ``StaleSessionError``. Every use of the database begins here."""
        self.refuse_if_stale()
        bind = super().get_bind(*args, **options)
        self._opens_connections = not isinstance(bind, Connection)
        return bind

    def commit(self) -> None:
        """Commit, or raise ``StaleSessionError`` before a transaction begins."""
        self.refuse_if_stale()
        super().commit()

    def refuse_if_stale(self) -> None:
        """Raise ``StaleSessionError`` if the session has ended or its engine was replaced."""
        forks.notice_fork()
        message = self._refusal
        if not message and self.binding is not None and self.engine is not self.binding.engine:
            message = "The engine of this session was replaced. Call db_session.remove() and start again."
        if message:
            raise StaleSessionError(message)

    def end(self) -> None:
        """Roll back and close. Whatever happens, no connection stays checked out.

        If another thread executes a statement now, its connection leaves the pool, and that
        thread closes it afterwards.

        Raises:
            Exception: The rollback failed, and not because the connection was lost.
        """
        with self._lock:
            self._refusal = "This session has ended. Use db_session in a context that has not ended."
            if self._is_executing_in_another_thread():
                self._is_left_to_thread = True
                for connection in self._connections():
                    connection.detach()
                log.warning("A session has ended while another thread used it. Its connection is discarded.")
                return
        try:
            self.close()
        except IllegalStateChangeError:
            log.warning(
                "A session has ended while another thread used it. That thread returns its connection."
            )
        except BaseException as error:
            for connection in self._connections():
                connection.invalidate(error)
                connection.close()
            if not isinstance(error, DBAPIError) or not error.connection_invalidated:
                raise
            # The connection was lost, so the server has rolled back.
            log.warning("A session's connection was lost before its rollback: %s", error.orig)

    def disown(self) -> None:
        """Leave the connections to the parent, in a forked child: send and close nothing."""
        self._lock = threading.RLock()  # Another thread of the parent may have held the old one.
        self._refusal = "This session belongs to the parent process. Call db_session() for another."
        for connection in self._connections():
            pooled = connection.connection
            forks.inherited.append((pooled, pooled.dbapi_connection))
            pooled.dbapi_connection = None  # type: ignore[misc] # as in SQLAlchemy's recipe for forks
            connection.invalidate()

    def _connections(self) -> list[Connection]:
        """Return the open connections that this session has taken from a pool."""
        return [
            connection
            for connection, session in connections_of_sessions()
            if session is self and not connection.closed and not connection.invalidated
        ]

    def _is_executing_in_another_thread(self) -> bool:
        if self._executing_thread in {None, threading.get_ident()}:
            return False
        # The thread of an asynchronous view has ended by now, and may have left rows of a stream unread.
        threads = threading.enumerate() if self._is_streaming else []
        return not self._is_streaming or self._executing_thread in {thread.ident for thread in threads}

    def _has_connected(self, transaction: SessionTransaction, connection: Connection) -> None:
        if transaction.parent is None and self._opens_connections:
            _sessions[connection] = weakref.ref(self)
            # After the entry: end() sees the connection, or this thread sees the end.
            if self._refusal:
                connection.close()
                self.refuse_if_stale()

    def _before_statement(self) -> None:
        with self._lock:
            self.refuse_if_stale()
            self._executing_thread, self._is_streaming = threading.get_ident(), False

    def _after_statement(self, context: ExecutionContext) -> None:
        with self._lock:
            # The rows of a stream are read from the connection later.
            self._is_streaming = bool(context.execution_options.get("stream_results"))
            if not self._is_streaming:
                self._executing_thread = None
            if self._is_left_to_thread:
                self.refuse_if_stale()

    def _statement_failed(self, connection: Connection, error: ExceptionContext) -> None:
        with self._lock:
            if self._executing_thread != threading.get_ident():
                return
            self._executing_thread = None
        if self._is_left_to_thread and not connection.closed and not connection.invalidated:
            connection.connection.close()
            error.is_disconnect, error.invalidate_pool_on_disconnect = True, False

    def _before_commit_of(self, connection: Connection, xid: Any, *, is_prepared: bool) -> None:
        # session.connection().commit() does not pass through the session's event before_commit.
        try:
            self.refuse_if_stale()
        except StaleSessionError:
            # SQLAlchemy rolls back no transaction whose commit has failed.
            try:
                if is_prepared:  # It would outlive its connection.
                    connection.dialect.do_rollback_twophase(connection, xid)
            finally:
                connection.invalidate()
            raise


# The block of session.begin(), a savepoint and prepare() commit without BoundSession.commit().
event.listen(BoundSession, "before_commit", BoundSession.refuse_if_stale)
event.listen(BoundSession, "after_begin", BoundSession._has_connected)  # noqa: SLF001 - of the class above

# MySQL's rollback of a two-phase transaction, which SQLAlchemy sends as statements.
_ROLLBACKS = ("XA END", "XA ROLLBACK")

_sessions: weakref.WeakKeyDictionary[Connection, weakref.ref[BoundSession]] = weakref.WeakKeyDictionary()


def connections_of_sessions() -> list[tuple[Connection, BoundSession]]:
    """Return the connections that sessions have taken from pools, each with its session."""
    # keyrefs() copies: other threads connect meanwhile.
    connections = [connection for key in _sessions.keyrefs() if (connection := key()) is not None]
    found = [(connection, _session_of(connection)) for connection in connections]
    return [(connection, session) for connection, session in found if session is not None]


def _session_of(connection: Connection | None) -> BoundSession | None:
    reference = None if connection is None else _sessions.get(connection)
    return None if reference is None else reference()


def watch_sessions(engine: Engine) -> None:
    """Tell each session of ``engine`` of its statements and its commits."""

    def before(connection: Connection, _cursor: object, statement: str, *_: object) -> None:
        if not statement.startswith(_ROLLBACKS) and (session := _session_of(connection)) is not None:
            session._before_statement()  # noqa: SLF001 - of this module

    def after(connection: Connection, *arguments: Any) -> None:
        if (session := _session_of(connection)) is not None:
            session._after_statement(arguments[3])  # noqa: SLF001 - of this module

    def failed(error: ExceptionContext) -> None:
        if error.connection is not None and (session := _session_of(error.connection)) is not None:
            session._statement_failed(error.connection, error)  # noqa: SLF001 - of this module

    def commits(connection: Connection, xid: Any = None, is_prepared: bool = False) -> None:  # noqa: FBT001, FBT002
        if (session := _session_of(connection)) is not None:
            session._before_commit_of(connection, xid, is_prepared=is_prepared)  # noqa: SLF001 - of this module

    event.listen(engine, "before_cursor_execute", before)
    event.listen(engine, "after_cursor_execute", after)
    event.listen(engine, "handle_error", failed)
    for name in ("commit", "prepare_twophase", "commit_twophase"):
        event.listen(engine, name, commits)
