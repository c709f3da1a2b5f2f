"""Find the current engine and session: bindings, scopes, and the registry of sessions."""

from __future__ import annotations

import atexit
import logging
import threading
import weakref
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from blinker import Namespace
from flask.ctx import AppContext
from flask.globals import app_ctx
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, scoped_session, sessionmaker
from sqlalchemy.util import ScopedRegistry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection, Engine
    from sqlalchemy.engine.interfaces import DBAPIConnection

log = logging.getLogger(__name__)

session_removed = Namespace().signal(
    "session-removed",
    doc="Sent after a session has ended: rolled back, closed, and out of its scope."
    " The sender is its engine; the session is the argument `session`.",
)


class UnboundError(RuntimeError):
    """No engine is bound, or several are and none is current. The message says what to call."""


class StaleSessionError(RuntimeError):
    """The session's engine was replaced or disposed of. ``db_session.remove()`` ends the session."""


# --- Bindings ---------------------------------------------------------------------------------


class Binding:
    """Hold the engine of one app, or of code without an app. The engine may be replaced.

    A binding does not refer to its app, and no global refers to the engine of an app, whose
    listeners may refer to the app: either would keep the app from being garbage collected.
    """

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
        self.has_session = False

    def end(self) -> None:
        """End the session of the body. Most bodies open none."""
        if self.has_session:
            db_session.registry.end(self)


class ThreadScope:
    """The scope of a thread outside contexts. It is garbage collected with the thread."""


class _Thread(threading.local):
    def __init__(self) -> None:
        self.scope = ThreadScope()


_thread = _Thread()
response_scope: ContextVar[ResponseScope | None] = ContextVar("response_scope", default=None)


def current_scope() -> object:
    """Return the app context, else the response, else the thread.

    The object itself is the key of its session: a proxy means another object later, and
    Python uses the ``id()`` of a deleted object again.
    """
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
    """A session that refuses to work on an engine that was replaced."""

    binding: Binding | None = None

    def get_bind(self, *args: Any, **options: Any) -> Engine | Connection:
        """Return the engine, or raise ``StaleSessionError``. Every statement passes through here."""
        self._refuse_if_stale()
        return super().get_bind(*args, **options)

    def commit(self) -> None:
        """Commit, or raise ``StaleSessionError`` instead of writing to a replaced database."""
        self._refuse_if_stale()
        super().commit()

    def _refuse_if_stale(self) -> None:
        if self.binding is not None and self.bind is not self.binding.engine:
            message = "The engine of this session was replaced. Call db_session.remove() and start again."
            raise StaleSessionError(message)


class BoundSessionmaker(sessionmaker[BoundSession]):
    """A factory that looks up the engine when it makes a session.

    It is a real ``sessionmaker``, so that event listeners can be registered on ``db_session``.
    """

    def __call__(self, *, binding: Binding | None = None, **options: Any) -> BoundSession:
        """Make a session on ``binding``, by default the current one; an option ``bind`` replaces it."""
        if options.get("bind") is not None:
            return super().__call__(**options)
        binding = binding or current_binding()
        session = self.class_(**{**self.kw, **binding.session_options, **options, "bind": binding.engine})
        session.binding = binding
        return session


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
            session = self.registry[scope] = self.createfunc(binding=binding_of(scope))
            if isinstance(scope, ResponseScope):
                scope.has_session = True
        elif isinstance(scope, ThreadScope) and session.binding not in (None, binding_of(scope)):
            message = "The engine of this session was disposed of. Call db_session.remove() and start again."
            raise StaleSessionError(message)
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
        try:
            session.close()
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
            # The connection was lost, so the server has rolled back.
            log.warning("A session's connection was lost before its rollback: %s", error.orig)
        if session_removed.receivers:
            session_removed.send(session.bind, session=session)


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
