"""Translate SQLAlchemy's events and Flask's signals into events of the timeline."""

from __future__ import annotations

import threading
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from flask import request, signals
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import Pool

from flask_sqlalchemy_testbed.timeline.events import EventKind
from flask_sqlalchemy_testbed.timeline.subscription import Subscription

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask import Flask, Response
    from sqlalchemy.engine import Connection, ExceptionContext
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.orm import SessionTransaction

    from flask_sqlalchemy_testbed.timeline.events import EventSink

# The attribute of an execution context that holds the event of its statement.
_BEGUN = "testbed_statement"
# A context may be popped on another thread than it was pushed on; older ones are forgotten.
MAX_NESTED = 20


class Listeners(Subscription):
    """Hand every event of SQLAlchemy and Flask in this process to a sink.

    The events come from all threads.
    """

    def __init__(self, sink: EventSink) -> None:
        self._sink = sink
        self._local = threading.local()
        super().__init__(
            [
                (Session, "after_transaction_create", self._session_begun),
                (Session, "after_begin", self._session_connected),
                (Session, "after_commit", self._session(EventKind.SESSION_COMMITTED)),
                (Session, "after_rollback", self._session(EventKind.SESSION_ROLLED_BACK)),
                (Session, "after_transaction_end", self._session_closed),
                (Pool, "connect", self._opened),
                (Pool, "checkout", self._pool(EventKind.CONNECTION_CHECKED_OUT)),
                (Pool, "checkin", self._pool(EventKind.CONNECTION_RETURNED)),
                (Pool, "detach", self._pool(EventKind.CONNECTION_DETACHED)),
                (Pool, "invalidate", self._invalidated),
                (Pool, "close", self._closed),
                (Pool, "close_detached", self._closed),
                (Engine, "begin", self._transaction(EventKind.TRANSACTION_BEGUN)),
                (Engine, "commit", self._transaction(EventKind.TRANSACTION_COMMITTED)),
                (Engine, "rollback", self._transaction(EventKind.TRANSACTION_ROLLED_BACK)),
                (Engine, "savepoint", self._transaction(EventKind.SAVEPOINT_SET)),
                (Engine, "release_savepoint", self._transaction(EventKind.SAVEPOINT_RELEASED)),
                (Engine, "rollback_savepoint", self._transaction(EventKind.SAVEPOINT_ROLLED_BACK)),
                (Engine, "before_cursor_execute", self._statement_begun),
                (Engine, "after_cursor_execute", self._statement_ended),
                (Engine, "handle_error", self._error),
                (Engine, "engine_disposed", self._disposed),
            ],
            [
                (signals.appcontext_pushed, self._pushed),
                (signals.appcontext_tearing_down, self._tearing_down),
                (signals.appcontext_popped, self._popped),
                (signals.request_started, self._request_started),
                (signals.request_finished, self._request_answered),
                (signals.got_request_exception, self._request_failed),
            ],
        )

    def _session_begun(self, session: Session, transaction: SessionTransaction) -> None:
        if transaction.parent is None:
            self._sink.record(EventKind.SESSION_BEGUN, session=session)

    def _session_connected(self, session: Session, _: object, connection: Connection) -> None:
        self._sink.record(EventKind.SESSION_CONNECTED, session=session, connection=_dbapi(connection))

    def _session_closed(self, session: Session, transaction: SessionTransaction) -> None:
        if transaction.parent is None:
            self._sink.record(EventKind.SESSION_CLOSED, session=session)

    def _session(self, kind: EventKind) -> Callable[..., object]:
        return lambda session: self._sink.record(kind, session=session)

    def _opened(self, connection: DBAPIConnection, _: object) -> None:
        self._sink.connection_opened(connection)
        self._sink.record(EventKind.CONNECTION_OPENED, connection=connection)

    def _pool(self, kind: EventKind) -> Callable[..., None]:
        def listener(connection: DBAPIConnection | None, *_: object) -> None:
            # None: the connection was invalidated, and only its place in the pool is returned.
            if connection is not None:
                self._sink.record(kind, connection=connection)

        return listener

    def _invalidated(self, connection: DBAPIConnection, _: object, error: BaseException | None) -> None:
        self._sink.record(
            EventKind.CONNECTION_INVALIDATED, connection=connection, text=_first_line(error) if error else ""
        )

    def _closed(self, connection: DBAPIConnection, *_: object) -> None:
        self._sink.record(EventKind.CONNECTION_CLOSED, connection=connection)
        self._sink.connection_closed(connection)

    def _transaction(self, kind: EventKind) -> Callable[..., None]:
        def listener(connection: Connection, name: str | None = None, *_: object) -> None:
            self._sink.record(kind, connection=_dbapi(connection), text=name or "")

        return listener

    def _statement_begun(
        self, connection: Connection, _: object, statement: str, __: object, context: object, ___: object
    ) -> None:
        begun = self._sink.record(EventKind.STATEMENT, connection=_dbapi(connection), text=statement)
        if context is not None:
            vars(context)[_BEGUN] = begun

    def _statement_ended(
        self, _: object, __: object, ___: object, ____: object, context: object, _____: object
    ) -> None:
        self._end_statement(context, failed=False)

    def _end_statement(self, context: object, *, failed: bool) -> None:
        begun = vars(context).pop(_BEGUN, None) if context is not None else None
        if begun is not None:
            self._sink.end_statement(begun, failed=failed)

    def _error(self, context: ExceptionContext) -> None:
        self._end_statement(context.execution_context, failed=True)
        connection = _dbapi(context.connection) if context.connection is not None else None
        self._sink.record(
            EventKind.ERROR, connection=connection, text=_first_line(context.original_exception), failed=True
        )

    def _disposed(self, engine: Engine) -> None:
        self._sink.record(EventKind.ENGINE_DISPOSED, text=engine.url.render_as_string(hide_password=True))

    def _pushed(self, app: Flask, **_: object) -> None:
        pushed = self._sink.record(EventKind.CONTEXT_PUSHED, text=app.name)
        self._local.contexts = [*self._contexts()[-MAX_NESTED:], pushed.context]

    def _tearing_down(self, _: Flask, **__: object) -> None:
        self._local.torn_down = self._sink.current_context()

    def _popped(self, app: Flask, **_: object) -> None:
        # Flask sends this signal when the context is no longer current: its number was noted before.
        contexts = self._contexts()
        context = vars(self._local).pop("torn_down", None) or (contexts[-1] if contexts else None)
        if context in contexts:
            contexts.remove(context)
        self._sink.record(EventKind.CONTEXT_POPPED, context=context, text=app.name)

    def _contexts(self) -> list[int | None]:
        """Return the contexts that were pushed on this thread and not popped on it."""
        return vars(self._local).setdefault("contexts", [])  # type: ignore[no-any-return]

    def _request_started(self, _: Flask, **__: object) -> None:
        self._sink.record(EventKind.REQUEST_STARTED, text=f"{request.method} {request.path}")

    def _request_answered(self, _: Flask, response: Response, **__: object) -> None:
        failed = response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR
        self._sink.record(EventKind.REQUEST_ANSWERED, text=response.status, failed=failed)

    def _request_failed(self, _: Flask, exception: BaseException, **__: Any) -> None:
        self._sink.record(EventKind.REQUEST_FAILED, text=_first_line(exception), failed=True)


def _dbapi(connection: Connection) -> DBAPIConnection | None:
    # `connection.connection` would connect again if the connection is lost.
    pooled = connection._dbapi_connection  # noqa: SLF001
    return pooled.dbapi_connection if pooled is not None else None


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
