"""End sessions with the contexts and responses of a Flask app, and its engine with the app."""

from __future__ import annotations

import weakref
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from flask.ctx import AppContext

from .bindings import Binding
from .scopes import ResponseScope, current_scope, response_scope
from .sessions import db_session, end_scope

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from flask import Flask


def binding_of_app(app: Flask) -> Binding:
    """Return the binding of ``app``; at the first call, make it and install the hooks."""
    binding: Binding | None = app.extensions.get("database")
    if binding is None:
        binding = app.extensions["database"] = Binding()
        _Hooks(app, binding)
    return binding


class _Hooks:
    """Run around every teardown and every response of one app, and once when the app is deleted.

    Flask calls teardown callbacks in reverse order, and up to 3.1 stops at the first that
    raises. A callback of our own would be too early or left out, so this wraps them all. A
    request inside a pushed context of the same app shares that context, and so its session,
    up to Flask 3.1.
    """

    def __init__(self, app: Flask, binding: Binding) -> None:
        self._binding = binding
        self._name = app.name
        self._do_teardown_appcontext = app.do_teardown_appcontext
        self._wsgi_app = app.wsgi_app
        # The app holds this object by these two methods, and nothing else does.
        app.do_teardown_appcontext = self._teardown  # type: ignore[method-assign] # Flask has no hook around it
        app.wsgi_app = self._respond  # type: ignore[method-assign] # Flask's documented way
        # Until the app is deleted, this holds its connections. Without it, the collector may
        # finalize them before __del__ closes them, and drivers warn of open connections.
        weakref.finalize(app, binding.connections.clear)

    def _teardown(self, *args: Any, **options: Any) -> None:
        scope = current_scope()
        try:
            self._do_teardown_appcontext(*args, **options)
        finally:
            end_scope(scope)

    def _respond(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        body = _Body(ResponseScope(self._binding), self._wsgi_app, environ, start_response)
        return body.release_file(environ) or body

    def __del__(self) -> None:
        # Not weakref.finalize: it would hold the engine, whose listeners may hold the app.
        if self._binding.engine is not None:
            Binding.collected = self._name
        self._binding.bind(None)


class _Body:
    """Run a response body in a ``contextvars`` context of its own.

    A generator without ``stream_with_context`` runs after its context has ended. The session
    that it opens belongs to the response. A generator with ``stream_with_context`` that is
    never closed leaves its context pushed. It does so in the body's own context: on the
    thread, the next request would share that context and never tear it down.

    Middleware outside sees the context variables that were set before the body began, and
    those that the body sets it does not see.
    """

    _chunks: Iterable[bytes] | None = None

    def __init__(self, scope: ResponseScope, wsgi_app: WSGIApplication, *request: Any) -> None:
        self._scope = scope
        self._context = copy_context()
        try:
            self._context.run(self._begin, wsgi_app, *request)
        except BaseException:
            end_scope(scope)
            raise
        finally:
            self._copy_variables_back()

    def _begin(self, wsgi_app: WSGIApplication, *request: Any) -> None:
        response_scope.set(self._scope)
        chunks = self._chunks = wsgi_app(*request)
        self._iterator = iter(chunks)

    def _copy_variables_back(self) -> None:
        for variable, value in self._context.items():
            # Flask 3.2 leaves the context of a stream pushed.
            if not isinstance(value, (ResponseScope, AppContext)) and variable.get(None) is not value:
                variable.set(value)

    def release_file(self, environ: WSGIEnvironment) -> Iterable[bytes] | None:
        """Return the server's own wrapper of a file, and end this body.

        The wrapper runs no code of the app.

        A server such as gunicorn sends the file itself, if the app returns that wrapper.
        """
        wrapper, chunks = environ.get("wsgi.file_wrapper"), self._chunks
        if not isinstance(wrapper, type) or not isinstance(chunks, wrapper):
            return None
        # Servers name the file like this. An object that is no file of the system may run code of the app.
        file: Any = getattr(chunks, "filelike", None) or getattr(chunks, "file", None)
        try:
            file.fileno()
        except (AttributeError, OSError):
            return None
        self._chunks = None
        end_scope(self._scope)
        return chunks

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return self._context.run(next, self._iterator)
        except BaseException:  # StopIteration too: the body has ended, though not yet the response.
            db_session.registry.end(self._scope)
            raise

    def close(self) -> None:
        """Close the body and end its session. The server calls this; a second call does nothing."""
        chunks, self._chunks = self._chunks, None
        try:
            if chunks is not None and hasattr(chunks, "close"):
                self._context.run(chunks.close)
        finally:
            end_scope(self._scope)

    def __del__(self) -> None:
        # A generator that is collected outside its context could not pop what it pushed.
        if self._chunks is not None:
            self.close()
