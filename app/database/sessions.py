"""Find the current engine and session: bindings, scopes, and the registry of sessions."""

from __future__ import annotations

import atexit
import contextlib
import logging
import threading
import weakref
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, ClassVar

from blinker import Namespace
from flask import appcontext_pushed
from flask.ctx import AppContext
from flask.globals import app_ctx
from sqlalchemy import Connection, event
from sqlalchemy.exc import DBAPIError, IllegalStateChangeError
from sqlalchemy.orm import Session, scoped_session, sessionmaker
from sqlalchemy.util import ScopedRegistry

from . import forks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Flask
    from sqlalchemy import Engine
    from sqlalchemy.engine import ExceptionContext
    from sqlalchemy.engine.interfaces import DBAPIConnection, ExecutionContext
    from sqlalchemy.orm import SessionTransaction

log = logging.getLogger(__name__)

session_removed = Namespace().signal(
    "session-removed",
    doc="Sent after a session has ended: rolled back, closed, and out of its scope."
    " The sender is its engine; the session is the argument `session`.",
)


class UnboundError(RuntimeError):
    """No engine is bound, several are and none is current, or the context has ended.

    The message says what to call.
    """


class StaleSessionError(RuntimeError):
    """The session has ended, or its engine was replaced or disposed of. The message says what to call."""


# --- Bindings ---------------------------------------------------------------------------------


class Binding:
    """Hold the engine of one app, or of code without an app. The engine may be replaced.

    A binding does not refer to its app, and no global refers to the engine of an app, whose
    listeners may refer to the app: either would keep the app from being garbage collected.
    """

    collected: ClassVar[str] = ""
    """The name of the app that was garbage collected last."""

    def __init__(self) -> None:
        self.engine: Engine | None = None
        self.session_options: Mapping[str, Any] = {}
        self.connections: dict[int, DBAPIConnection] = {}

    def bind(self, engine: Engine | None) -> None:
        """Replace the engine and dispose of the old one. None only disposes."""
        replaced, self.engine = self.engine, engine
        if engine is None:
            _live.pop(id(self), None)
        else:
            self.be_live()
            forks.protect(engine)
            _watch_sessions(engine)
            event.listen(engine, "engine_disposed", self._disposed)
            event.listen(engine, "connect", lambda connection, _: self._connected(engine, connection))
            event.listen(engine, "close", self._closed)
            event.listen(engine, "detach", self._closed)
        if replaced is not None:
            replaced.dispose()

    def be_live(self) -> None:
        """Register this binding as live, for code outside contexts."""
        _live[id(self)] = self

    def _disposed(self, engine: Engine) -> None:
        if engine is self.engine:
            _live.pop(id(self), None)

    def _connected(self, engine: Engine, connection: DBAPIConnection) -> None:
        self.connections[id(connection)] = connection
        # An engine may connect again after dispose(). If it was replaced, it is not counted again.
        if engine is self.engine:
            self.be_live()

    def _closed(self, connection: DBAPIConnection, _record: object) -> None:
        self.connections.pop(id(connection), None)


_live: weakref.WeakValueDictionary[int, Binding] = weakref.WeakValueDictionary()

without_app = Binding()


def live_bindings() -> list[Binding]:
    """Return the bindings whose engines are live."""
    forks.notice_fork()
    return [binding for reference in _live.valuerefs() if (binding := reference()) is not None]


@atexit.register
def _dispose_of_all() -> None:
    for binding in live_bindings():
        binding.bind(None)


# --- Scopes -----------------------------------------------------------------------------------


class ResponseScope:
    """The scope of a response body that runs after its context has ended."""

    def __init__(self, binding: Binding) -> None:
        self.binding = binding


class ThreadScope:
    """The scope of a thread outside contexts. It is garbage collected with the thread."""


class _Thread(threading.local):
    def __init__(self) -> None:
        self.scope = ThreadScope()


_thread = _Thread()
response_scope: ContextVar[ResponseScope | None] = ContextVar("response_scope", default=None)

_ended: weakref.WeakSet[object] = weakref.WeakSet()


def end_scope(scope: object) -> None:
    """End the session of ``scope``. Threads in copies of its context get none from now on."""
    if not isinstance(scope, ThreadScope):
        _ended.add(scope)
    db_session.registry.end(scope)


@appcontext_pushed.connect
def _begin_scope(_app: Flask, **_: object) -> None:
    # A context that is pushed again has sessions again.
    _ended.discard(current_scope())


def current_scope() -> object:
    """Return the app context, else the response, else the thread.

    The object itself is the key of its session: a proxy means another object later, and
    Python uses the ``id()`` of a deleted object again.
    """
    forks.notice_fork()
    try:
        return app_ctx._get_current_object()  # type: ignore[attr-defined] # noqa: SLF001 - a proxy's documented method
    except RuntimeError:
        return response_scope.get() or _thread.scope


def binding_of(scope: object) -> Binding:
    """Return the binding of the scope's app; for a thread, the only live binding.

    Raises:
        UnboundError: There is none, or a thread has several to choose from.
    """
    if isinstance(scope, AppContext):
        binding: Binding | None = scope.app.extensions.get("database")
        if binding is None:
            message = f"App {scope.app.name!r} has no engine. Call init_engine(uri, app=app) in its factory."
            raise UnboundError(message)
        return binding
    if isinstance(scope, ResponseScope):
        return scope.binding
    bindings = live_bindings()
    if not bindings:
        message = "No engine is bound. Call create_app(config), or init_engine(uri), first."
        if Binding.collected:
            message += (
                f" App {Binding.collected!r} was garbage collected with its engine."
                " Keep a reference to the app, or push its context."
            )
        raise UnboundError(message)
    if len(bindings) > 1:
        message = (
            f"{len(bindings)} engines are live and no context says which one is meant."
            " Push one: with app.app_context(): ..."
        )
        raise UnboundError(message)
    return bindings[0]


def current_binding() -> Binding:
    """Return the binding of the current scope, or raise ``UnboundError``."""
    return binding_of(current_scope())


# --- Sessions ---------------------------------------------------------------------------------


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
        """In a forked child, leave the connections to the parent: send nothing, close nothing."""
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

    def _before_commit_of(self, connection: Connection) -> None:
        # session.connection().commit() does not pass through the session's event before_commit.
        try:
            self.refuse_if_stale()
        except StaleSessionError:
            # SQLAlchemy rolls back no transaction whose commit has failed.
            connection.invalidate()
            raise


# The block of session.begin(), a savepoint and prepare() commit without BoundSession.commit().
event.listen(BoundSession, "before_commit", BoundSession.refuse_if_stale)
event.listen(BoundSession, "after_begin", BoundSession._has_connected)  # noqa: SLF001 - of the class above

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


def _watch_sessions(engine: Engine) -> None:
    """Tell each session of ``engine`` of its statements and its commits."""

    def before(connection: Connection, *_: object) -> None:
        if (session := _session_of(connection)) is not None:
            session._before_statement()  # noqa: SLF001 - of this module

    def after(connection: Connection, *arguments: Any) -> None:
        if (session := _session_of(connection)) is not None:
            session._after_statement(arguments[3])  # noqa: SLF001 - of this module

    def failed(error: ExceptionContext) -> None:
        if error.connection is not None and (session := _session_of(error.connection)) is not None:
            session._statement_failed(error.connection, error)  # noqa: SLF001 - of this module

    def commits(connection: Connection, *_: object) -> None:
        if (session := _session_of(connection)) is not None:
            session._before_commit_of(connection)  # noqa: SLF001 - of this module

    event.listen(engine, "before_cursor_execute", before)
    event.listen(engine, "after_cursor_execute", after)
    event.listen(engine, "handle_error", failed)
    for name in ("commit", "prepare_twophase", "commit_twophase"):
        event.listen(engine, name, commits)


class BoundSessionmaker(sessionmaker[BoundSession]):
    """A factory that looks up the engine when it makes a session.

    It is a real ``sessionmaker``, so that event listeners can be registered on ``db_session``.
    """

    def __call__(self, *, binding: Binding | None = None, **options: Any) -> BoundSession:
        """Make a session on ``binding``, by default the current one; an option ``bind`` replaces it.

        A bind that uses the connections of a live engine, such as an option engine, counts as that engine.
        """
        bind = options.get("bind") or self.kw["bind"]
        follows_scope = bind is None
        if follows_scope:
            binding = binding or current_binding()
            bind = binding.engine
        else:
            binding = _binding_of_bind(bind)
        session_options = {} if binding is None else binding.session_options
        session = self.class_(**{**self.kw, **session_options, **options, "bind": bind})
        session.binding = binding
        session.follows_scope = follows_scope
        session.engine = None if binding is None else binding.engine
        return session


def _binding_of_bind(bind: Engine | Connection) -> Binding | None:
    bindings = live_bindings()
    with contextlib.suppress(UnboundError):
        bindings.append(current_binding())
    for binding in bindings:
        if binding.engine is not None and binding.engine.pool is bind.engine.pool:
            return binding
    return None


class ScopeRegistry(ScopedRegistry[BoundSession]):
    """Hold one session for each scope, weakly: a scope that is garbage collected loses its session."""

    createfunc: BoundSessionmaker

    def __init__(self, createfunc: BoundSessionmaker) -> None:
        super().__init__(createfunc, current_scope)
        self.registry: weakref.WeakKeyDictionary[object, BoundSession] = weakref.WeakKeyDictionary()

    def __call__(self) -> BoundSession:
        """Return the session of the current scope; make one if there is none."""
        scope = self.scopefunc()
        session = self.registry.get(scope)
        if session is None:
            return self._enter(scope, self.createfunc())
        if (
            isinstance(scope, ThreadScope)
            and session.follows_scope
            and session.binding is not binding_of(scope)
        ):
            message = "The engine of this session was disposed of. Call db_session.remove() and start again."
            raise StaleSessionError(message)
        return session

    def set(self, obj: BoundSession) -> None:
        """Enter a session that was made with options."""
        self._enter(self.scopefunc(), obj)

    def _enter(self, scope: object, session: BoundSession) -> BoundSession:
        session = self.registry.setdefault(scope, session)
        # Entered before the question: either this thread sees the end, or the end sees the session.
        if scope in _ended:
            self.registry.pop(scope, None)
            kind = "response" if isinstance(scope, ResponseScope) else "context"
            message = f"The {kind} has ended. Push a context in this thread: with app.app_context(): ..."
            raise UnboundError(message)
        return session

    def peek(self) -> BoundSession | None:
        """Return the session of the current scope, or None; never make one."""
        return self.registry.get(self.scopefunc())

    def sessions(self) -> list[BoundSession]:
        """Return the sessions of all scopes."""
        # keyrefs() copies: other threads add and remove sessions meanwhile.
        found = [self.registry.get(scope) for key in self.registry.keyrefs() if (scope := key()) is not None]
        return [session for session in found if session is not None]

    def end(self, scope: object) -> None:
        """End the session of ``scope``, if there is one."""
        session = self.registry.pop(scope, None)
        if session is None:
            return
        session.end()
        if session_removed.receivers:
            session_removed.send(session.engine or session.bind, session=session)


class BoundScopedSession(scoped_session[BoundSession]):
    """A ``scoped_session`` by context, response or thread. ``remove()`` needs no engine."""

    registry: ScopeRegistry

    def __init__(self, session_factory: BoundSessionmaker) -> None:
        super().__init__(session_factory)
        self.registry = ScopeRegistry(session_factory)

    def remove(self) -> None:
        """End the session of the current scope, if there is one."""
        self.registry.end(current_scope())


# Both options are explicit, because the defaults of sessionmaker and create_session differ.
db_session = BoundScopedSession(BoundSessionmaker(class_=BoundSession, autoflush=True, expire_on_commit=True))


def _leave_the_parents_alone() -> None:
    """In a forked child, give each live engine an empty pool, and each scope no session."""
    live = live_bindings()
    for session in {*db_session.registry.sessions(), *(session for _, session in connections_of_sessions())}:
        session.disown()
    db_session.registry.registry.clear()
    for binding in live:
        if binding.engine is not None:
            forks.replace_pool(binding.engine)
            binding.be_live()


forks.in_child.append(_leave_the_parents_alone)
