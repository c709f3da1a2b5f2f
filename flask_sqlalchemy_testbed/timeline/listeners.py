"""Translates SQLAlchemy's events and Flask's signals into the recorder's words."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from flask import request, signals
from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import Pool

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask import Flask, Response
    from sqlalchemy.engine import Connection, ExceptionContext
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.orm import SessionTransaction

    from flask_sqlalchemy_testbed.timeline.recorder import Recorder

_BEGUN = "testbed_statement"
_SERVER_ERROR = 500
# Some are popped on other threads than they were pushed on; they are not remembered for ever.
MOST_NESTED = 20


class Listeners:
    """All that a recorder listens to."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._local = threading.local()
        self._events: list[tuple[Any, str, Callable[..., object]]] = [
            (Session, "after_transaction_create", self._session_begun),
            (Session, "after_begin", self._session_connected),
            (Session, "after_commit", self._session("session committed")),
            (Session, "after_rollback", self._session("session rolled back")),
            (Session, "after_transaction_end", self._session_closed),
            (Pool, "connect", self._opened),
            (Pool, "checkout", self._pool("connection checked out")),
            (Pool, "checkin", self._pool("connection returned")),
            (Pool, "detach", self._pool("connection detached")),
            (Pool, "invalidate", self._invalidated),
            (Pool, "close", self._closed),
            (Pool, "close_detached", self._closed),
            (Engine, "begin", self._transaction("transaction begun")),
            (Engine, "commit", self._transaction("transaction committed")),
            (Engine, "rollback", self._transaction("transaction rolled back")),
            (Engine, "savepoint", self._transaction("savepoint set")),
            (Engine, "release_savepoint", self._transaction("savepoint released")),
            (Engine, "rollback_savepoint", self._transaction("savepoint rolled back")),
            (Engine, "before_cursor_execute", self._statement_begun),
            (Engine, "after_cursor_execute", self._statement_ended),
            (Engine, "handle_error", self._error),
            (Engine, "engine_disposed", self._disposed),
        ]
        self._signals: list[tuple[Any, Callable[..., None]]] = [
            (signals.appcontext_pushed, self._pushed),
            (signals.appcontext_tearing_down, self._tearing_down),
            (signals.appcontext_popped, self._popped),
            (signals.request_started, self._request_begun),
            (signals.request_finished, self._request_answered),
            (signals.got_request_exception, self._request_failed),
        ]

    def install(self) -> None:
        """Begin to listen."""
        for target, name, listener in self._events:
            event.listen(target, name, listener)
        for signal, receiver in self._signals:
            signal.connect(receiver)

    def remove(self) -> None:
        """Stop listening."""
        for signal, receiver in self._signals:
            signal.disconnect(receiver)
        for target, name, listener in self._events:
            event.remove(target, name, listener)

    def _session_begun(self, session: Session, transaction: SessionTransaction) -> None:
        if transaction.parent is None:
            self._recorder.keep("session begun", session=session)

    def _session_connected(self, session: Session, _: object, connection: Connection) -> None:
        self._recorder.keep("session connected", session=session, connection=_dbapi(connection))

    def _session_closed(self, session: Session, transaction: SessionTransaction) -> None:
        if transaction.parent is None:
            self._recorder.keep("session closed", session=session)

    def _session(self, kind: str) -> Callable[..., object]:
        return lambda session: self._recorder.keep(kind, session=session)

    def _opened(self, connection: DBAPIConnection, _: object) -> None:
        self._recorder.number(connection, new=True)
        self._recorder.keep("connection opened", connection=connection)

    def _pool(self, kind: str) -> Callable[..., None]:
        def listener(connection: DBAPIConnection | None, *_: object) -> None:
            if connection is not None:  # None was invalidated: its place comes back, but not it.
                self._recorder.keep(kind, connection=connection)

        return listener

    def _invalidated(self, connection: DBAPIConnection, _: object, error: BaseException | None) -> None:
        self._recorder.keep("connection invalidated", connection=connection, text=_said(error))

    def _closed(self, connection: DBAPIConnection, *_: object) -> None:
        self._recorder.keep("connection closed", connection=connection)
        self._recorder.forget(connection)

    def _transaction(self, kind: str) -> Callable[..., None]:
        def listener(connection: Connection, name: str | None = None, *_: object) -> None:
            self._recorder.keep(kind, connection=_dbapi(connection), text=name or "")

        return listener

    def _statement_begun(
        self, connection: Connection, _: object, statement: str, __: object, context: object, ___: object
    ) -> None:
        begun = self._recorder.keep("statement", connection=_dbapi(connection), text=statement)
        if context is not None:
            vars(context)[_BEGUN] = begun

    def _statement_ended(
        self, _: object, __: object, ___: object, ____: object, context: object, _____: object
    ) -> None:
        self._end_statement(context, failed=False)

    def _end_statement(self, context: object, *, failed: bool) -> None:
        begun = vars(context).pop(_BEGUN, None) if context is not None else None
        if begun is not None:
            self._recorder.end(begun, failed=failed)

    def _error(self, context: ExceptionContext) -> None:
        self._end_statement(context.execution_context, failed=True)
        connection = _dbapi(context.connection) if context.connection is not None else None
        self._recorder.keep(
            "error", connection=connection, text=_said(context.original_exception), failed=True
        )

    def _disposed(self, engine: Engine) -> None:
        self._recorder.keep("engine disposed", text=engine.url.render_as_string(hide_password=True))

    def _pushed(self, app: Flask, **_: object) -> None:
        pushed = self._recorder.keep("context pushed", text=app.name)
        self._local.contexts = [*self._contexts()[-MOST_NESTED:], pushed.context]

    def _tearing_down(self, _: Flask, **__: object) -> None:
        self._local.torn_down = self._recorder.context()

    def _popped(self, app: Flask, **_: object) -> None:
        # It is current no more, so nothing but what was heard before tells which one it was.
        contexts = self._contexts()
        context = vars(self._local).pop("torn_down", None) or (contexts[-1] if contexts else None)
        if context in contexts:
            contexts.remove(context)
        self._recorder.keep("context popped", context=context, text=app.name)

    def _contexts(self) -> list[int | None]:
        """Those that were pushed on this thread and have not been popped on it."""
        return vars(self._local).setdefault("contexts", [])  # type: ignore[no-any-return]

    def _request_begun(self, _: Flask, **__: object) -> None:
        self._recorder.keep("request begun", text=f"{request.method} {request.path}")

    def _request_answered(self, _: Flask, response: Response, **__: object) -> None:
        failed = response.status_code >= _SERVER_ERROR
        self._recorder.keep("request answered", text=response.status, failed=failed)

    def _request_failed(self, _: Flask, exception: BaseException, **__: object) -> None:
        self._recorder.keep("request failed", text=_said(exception), failed=True)


def _dbapi(connection: Connection) -> DBAPIConnection | None:
    """The driver's connection in it; `connection.connection` would connect again where it is lost."""
    pooled = connection._dbapi_connection  # noqa: SLF001
    return pooled.dbapi_connection if pooled is not None else None


def _said(error: BaseException | None) -> str:
    if error is None:
        return ""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
