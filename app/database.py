"""Bind SQLAlchemy to a Flask app at run time, and end each session with its context.

``db_session`` can be imported before any engine exists; ``init_engine``, which the app
factory calls, says what it talks to::

    def create_app(config):
        app = Flask(__name__)
        app.config.from_pyfile(config)
        init_engine(app.config["DATABASE_URI"], app=app)
        return app

The idea and the names are those of a public-domain Flask snippet by Dan Jacob (2010), with
remarks by Amit Matani, sebastianmarkow and Donald Curtis. To copy it, take this module and
``engines.py``, which holds what each database needs of its engine; they are written for Flask
3.0 and SQLAlchemy 2.1, or newer. ``init_engine`` wraps the app's ``wsgi_app`` and its
``do_teardown_appcontext``: WSGI middleware that you add afterwards is around them.
"""

from __future__ import annotations

import logging
import os
import threading
import weakref
from contextvars import ContextVar, copy_context
from typing import TYPE_CHECKING, Any, cast

from flask.ctx import AppContext
from flask.globals import app_ctx
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import DeclarativeBase, Session, scoped_session, sessionmaker
from sqlalchemy.util import ScopedRegistry

from .engines import make_engine

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from flask import Flask
    from sqlalchemy import URL, Connection, Engine

log = logging.getLogger(__name__)


class UnboundError(RuntimeError):
    """No engine, or more than one, could be meant; the message says what to call."""


class StaleSessionError(RuntimeError):
    """The session's engine was replaced or disposed of; ``db_session.remove()`` ends it."""


class Base(DeclarativeBase):
    """What the models derive from."""


class Binding:
    """What one app, or no app, is bound to. The engine changes; the binding stays.

    It never refers to its app, which can be collected while sessions still know the binding.
    """

    def __init__(self) -> None:
        self.engine: Engine | None = None
        self.session_options: Mapping[str, Any] = {}

    def bind(self, engine: Engine | None) -> None:
        """Take this engine, or none; dispose of the one before, whose sessions are stale then."""
        replaced, self.engine = self.engine, engine
        if engine is not None:
            _live[engine] = self
            event.listen(engine, "engine_disposed", lambda _: _live.pop(engine, None))
            event.listen(engine, "connect", lambda *_: self._revive(engine))
        if replaced is not None:
            replaced.dispose()

    def _revive(self, engine: Engine) -> None:
        # An engine that its user disposed of may connect again, and then counts again outside
        # contexts; one that was replaced is nobody's.
        if engine is self.engine:
            _live[engine] = self


_live: dict[Engine, Binding] = {}
_without_app = Binding()


def init_engine(
    uri: str | URL,
    *,
    app: Flask | None = None,
    session_options: Mapping[str, Any] | None = None,
    **options: Any,
) -> Engine:
    """Create the engine of ``app``, or of no app, and return it. It connects on first use.

    A second call for the same app, or a second one for none, replaces the engine: it disposes
    of the first one, removes the caller's own session, and every other session on it raises
    ``StaleSessionError`` at its next use until its thread or context removes it. An engine of
    another app is left alone. The app owns its engine, which goes when the app is collected.

    ``options`` go to ``create_engine`` over the defaults of ``engines.py``; ``session_options``
    to each session made for this engine, over those of ``db_session``. Nothing changes when
    either is refused.
    """
    engine = make_engine(uri, directory=None if app is None else app.instance_path, **options)
    session_options = dict(session_options or {})
    Session(engine, **session_options)  # A wrong option is refused here, not by a later request.
    binding = _without_app if app is None else _binding_of(app)
    own = db_session.registry.peek()
    if own is not None and own.binding is binding:
        db_session.remove()
    binding.session_options = session_options
    binding.bind(engine)
    return engine


def get_engine() -> Engine:
    """The engine of ``current_app``; outside any context, the one engine that is live."""
    return cast("Engine", _binding(_current_scope()).engine)


def create_all() -> None:
    """Create the tables of ``Base`` that are missing on ``get_engine()``."""
    Base.metadata.create_all(get_engine())


def drop_all() -> None:
    """Drop the tables of ``Base`` on ``get_engine()``.

    This scope's session is removed first: its open transaction would hold up ``DROP TABLE``
    on PostgreSQL and MySQL for as long as it lives.
    """
    db_session.remove()
    Base.metadata.drop_all(get_engine())


def _binding_of(app: Flask) -> Binding:
    binding: Binding | None = app.extensions.get("database")
    if binding is None:
        binding = app.extensions["database"] = Binding()
        weakref.finalize(app, binding.bind, None)
        _end_sessions_with_contexts(app, binding)
    return binding


def _binding(scope: object) -> Binding:
    """Return the binding of the app that the context or response is of; for a thread, the only live one."""
    if isinstance(scope, AppContext):
        binding: Binding | None = scope.app.extensions.get("database")
        if binding is None:
            message = f"App {scope.app.name!r} has no engine. Call init_engine(uri, app=app) in its factory."
            raise UnboundError(message)
        return binding
    if isinstance(scope, _Response):
        return scope.binding
    bindings = list(_live.values())
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


# --- Sessions ---------------------------------------------------------------------------------


class BoundSession(Session):
    """A session that refuses to work on an engine that its binding has replaced."""

    binding: Binding | None = None

    def get_bind(self, *args: Any, **options: Any) -> Engine | Connection:
        """Return the engine, or raise ``StaleSessionError``; all work passes through here."""
        self._refuse_if_stale()
        return super().get_bind(*args, **options)

    def commit(self) -> None:
        """Commit, or raise ``StaleSessionError`` rather than write to a replaced database."""
        self._refuse_if_stale()
        super().commit()

    def _refuse_if_stale(self) -> None:
        if self.binding is not None and self.bind is not self.binding.engine:
            message = "The engine of this session was replaced. Call db_session.remove() and start again."
            raise StaleSessionError(message)


class BoundSessionmaker(sessionmaker[BoundSession]):
    """A factory that finds the engine when a session is made.

    It is a real ``sessionmaker``, so that listeners can be registered on ``db_session`` once.
    """

    def __call__(self, *, binding: Binding | None = None, **options: Any) -> BoundSession:
        """Make a session for the current context's app, or this one's; a ``bind`` that is given wins."""
        if options.get("bind") is not None:
            return super().__call__(**options)
        binding = binding or _binding(_current_scope())
        session = self.class_(**{**self.kw, **binding.session_options, **options, "bind": binding.engine})
        session.binding = binding
        return session


class _Response:
    """The scope of a response's body, once its context has ended."""

    def __init__(self, binding: Binding) -> None:
        self.binding = binding
        self.has_session = False

    def end(self) -> None:
        """End the session that the body opened, if it did: most never do."""
        if self.has_session:
            db_session.registry.end(self)


class _Thread(threading.local):
    """The scope of a thread; the thread's end lets go of the session."""

    def __init__(self) -> None:
        self.scope = _ThreadScope()


class _ThreadScope:
    pass


_response: ContextVar[_Response | None] = ContextVar("response", default=None)
_thread = _Thread()


def _current_scope() -> object:
    """Return the context or the response; else the thread.

    The objects themselves are the keys: a proxy would stand for another one later, and Python
    uses an id again.
    """
    try:
        return app_ctx._get_current_object()  # type: ignore[attr-defined] # noqa: SLF001 - a proxy's documented method
    except RuntimeError:
        return _response.get() or _thread.scope


class ScopeRegistry(ScopedRegistry[BoundSession]):
    """One session a scope, kept no longer than the scope is."""

    createfunc: BoundSessionmaker

    def __init__(self, createfunc: BoundSessionmaker) -> None:
        super().__init__(createfunc, _current_scope)
        self.registry: weakref.WeakKeyDictionary[object, BoundSession] = weakref.WeakKeyDictionary()

    def __call__(self) -> BoundSession:
        """Return the session of the current scope, made now if there is none."""
        scope = self.scopefunc()
        session = self.registry.get(scope)
        if session is None:
            session = self.registry[scope] = self.createfunc(binding=_binding(scope))
            if isinstance(scope, _Response):
                scope.has_session = True
        elif isinstance(scope, _ThreadScope) and session.binding not in (None, _binding(scope)):
            message = "The engine of this session was disposed of. Call db_session.remove() and start again."
            raise StaleSessionError(message)
        return session

    def peek(self) -> BoundSession | None:
        """Return the session of the current scope if there is one; never make one."""
        return self.registry.get(self.scopefunc())

    def end(self, scope: object) -> None:
        """Roll back and close the session of ``scope``; its connection goes to the pool."""
        session = self.registry.pop(scope, None)
        if session is None:
            return
        try:
            session.close()
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
            # The connection died with its transaction: the server has rolled back.
            log.warning("A session's connection was lost before its rollback: %s", error.orig)


class BoundScopedSession(scoped_session[BoundSession]):
    """``scoped_session`` by context, response or thread, whose ``remove`` needs no engine."""

    registry: ScopeRegistry

    def __init__(self, session_factory: BoundSessionmaker) -> None:
        super().__init__(session_factory)
        self.registry = ScopeRegistry(session_factory)

    def remove(self) -> None:
        """Roll back and close the session of the current scope, if there is one."""
        self.registry.end(_current_scope())


# Both are said since sessionmaker and create_session disagree on them.
db_session = BoundScopedSession(BoundSessionmaker(class_=BoundSession, autoflush=True, expire_on_commit=True))


# --- The end of a context, of a response, of a fork -------------------------------------------


def _end_sessions_with_contexts(app: Flask, binding: Binding) -> None:
    """Remove each session when its context ends, whatever the app's own callbacks do.

    Flask calls teardown callbacks in reverse order, and up to 3.1 stops at the first that
    raises: hence around all of them rather than one of them. A request made inside a pushed
    context of the same app uses that context, and so its session, up to Flask 3.1.
    """
    do_teardown_appcontext = app.do_teardown_appcontext
    wsgi_app = app.wsgi_app

    def teardown(*args: Any, **options: Any) -> None:
        scope = _current_scope()
        try:
            do_teardown_appcontext(*args, **options)
        finally:
            db_session.registry.end(scope)

    def isolated(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return _Body(_Response(binding), wsgi_app, environ, start_response)

    app.do_teardown_appcontext = teardown  # type: ignore[method-assign] # it has no hook around it
    app.wsgi_app = isolated  # type: ignore[method-assign] # Flask's documented way


class _Body:
    """A response's body, run in a ``contextvars`` context of its own.

    A generator that was not wrapped in ``stream_with_context`` runs after its context has
    ended: the session that it opens is the response's, and ends when that closes. One that was
    wrapped, and is never closed, leaves its context pushed: in here, not on the thread, whose
    next request would take that context for its own and never tear it down.
    """

    _chunks: Iterable[bytes] | None = None

    def __init__(self, response: _Response, wsgi_app: WSGIApplication, *request: Any) -> None:
        self._response = response
        self._context = copy_context()
        self._context.run(self._begin, wsgi_app, *request)

    def _begin(self, wsgi_app: WSGIApplication, *request: Any) -> None:
        _response.set(self._response)
        chunks = self._chunks = wsgi_app(*request)
        self._iterator = iter(chunks)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return self._context.run(next, self._iterator)
        except BaseException:  # StopIteration too: the body has ended, if not yet the response.
            self._response.end()
            raise

    def close(self) -> None:
        """End the body and the session that it opened; the server calls this. Once is enough."""
        chunks, self._chunks = self._chunks, None
        try:
            if chunks is not None and hasattr(chunks, "close"):
                self._context.run(chunks.close)
        finally:
            self._response.end()

    def __del__(self) -> None:
        # A generator that is collected outside its context could not pop what it pushed.
        if self._chunks is not None:
            self.close()


_inherited: list[object] = []


def _start_anew() -> None:
    """In a forked child, neither use nor close what the parent has open."""
    engines, sessions = dict(_live), dict(db_session.registry.registry)
    # Kept, so that no finalizer closes what both processes hold.
    _inherited.append((sessions, [engine.pool for engine in engines]))
    for session in sessions.values():
        session.binding = Binding()  # that of no engine: whoever still holds it finds it stale
    db_session.registry.registry.clear()
    for engine, binding in engines.items():
        engine.dispose(close=False)
        _live[engine] = binding


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_anew)
