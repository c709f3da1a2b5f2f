"""Find the scope of the running code (context, response or thread), and its binding."""

from __future__ import annotations

import sys
import threading
import weakref
from contextvars import ContextVar
from typing import TYPE_CHECKING

from flask import appcontext_pushed
from flask.ctx import AppContext
from flask.globals import app_ctx

from . import forks
from .bindings import Binding, UnboundError, live_bindings

if TYPE_CHECKING:
    from flask import Flask

    from .sessions import ScopeRegistry


class ResponseScope:
    """The scope of a response body that runs after its context has ended."""

    def __init__(self, binding: Binding) -> None:
        self.binding = binding


class ThreadScope:
    """The scope of a thread outside contexts. Python deletes it when the thread ends."""

    def __init__(self) -> None:
        self.registries: set[ScopeRegistry] = set()

    def __del__(self) -> None:
        # A session is part of a reference cycle, so the collector would close it much later.
        if not sys.is_finalizing():
            for registry in self.registries:
                registry.end(self)


class _Thread(threading.local):
    def __init__(self) -> None:
        self.scope = ThreadScope()


_thread = _Thread()
response_scope: ContextVar[ResponseScope | None] = ContextVar("response_scope", default=None)

_ended: weakref.WeakSet[object] = weakref.WeakSet()


def mark_ended(scope: object) -> None:
    """Refuse new sessions to ``scope``: to threads in copies of its context, too."""
    if not isinstance(scope, ThreadScope):
        _ended.add(scope)


def refuse_if_ended(scope: object) -> None:
    """Raise ``UnboundError`` if ``scope`` has ended."""
    if scope in _ended:
        kind = "response" if isinstance(scope, ResponseScope) else "context"
        message = f"The {kind} has ended. Push a context in this thread: with app.app_context(): ..."
        raise UnboundError(message)


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
    bindings = [binding for binding in live_bindings() if binding.serves_threads]
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
