"""Mistakes in the scope of a session, or of a listener on sessions."""

from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from threading import get_ident, get_native_id
from typing import Any, Self
from weakref import WeakKeyDictionary, WeakSet

from flask import Flask, has_app_context
from sqlalchemy import event
from sqlalchemy.orm import Session, sessionmaker

from tests.specimens.bindings import Build, Specimen, binding
from tests.specimens.plain import context, engine, scoped

maker = sessionmaker()
ended: WeakSet[object] = WeakSet()


def one_engine(scope: Callable[[], object] | None) -> Build:
    """Build the binding of `scoped_session`'s documentation, with one engine per process."""
    return binding(
        new_session=maker, scope=scope, prepare=lambda app, _: maker.configure(bind=app.extensions["engine"])
    )


def weakly_scoped(*arguments: Any) -> Any:
    session = scoped(*arguments)
    session.registry.registry = WeakKeyDictionary()  # type: ignore[attr-defined]
    return session


def bind_to_app(app: Flask, session: Session) -> None:
    session.bind = app.extensions["engine"]


def context_that_lasts() -> object:
    found = context()
    if found in ended:
        message = "The context has ended."
        raise RuntimeError(message)
    return found


def remove_and_end_context(session: Any, _error: BaseException | None) -> None:
    if (found := context()) not in ended:
        session.remove()
        ended.add(found)


class Body:
    """A response body that pushes and pops app contexts in a copy of the context variables."""

    def __init__(self, wsgi_app: Any, *request: Any) -> None:
        self._context = copy_context()
        self._chunks = self._context.run(wsgi_app, *request)
        self._iterator = self._context.run(iter, self._chunks)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        return self._context.run(next, self._iterator)  # type: ignore[no-any-return]

    def close(self) -> None:
        self._context.run(getattr(self._chunks, "close", int))


def isolate_bodies(app: Flask, _session: Any) -> None:
    app.wsgi_app = partial(Body, app.wsgi_app)


def audit(*_: object) -> None:
    """Stand for a listener that records writes."""


def listen(*_: object) -> None:
    event.listen(Session, "after_flush", audit)


def scoped_and_listening(*arguments: Any) -> Any:
    listen()
    return scoped(*arguments)


SPECIMENS = {
    "session_at_startup": Specimen(
        "All views share one session, made at start-up: once broken, it stays broken until a restart.",
        met="pallets-eco/flask-admin#2953",
        caught_by=("lifecycle.own-session",),
        wrong=binding(
            registry=lambda *_: Session(), prepare=bind_to_app, end=lambda session, _: session.close()
        ),
        takes_long=True,
    ),
    "keyed_by_thread": Specimen(
        "The session belongs to the thread: async views and streamed bodies get another session.",
        met="vantage6/vantage6#2656, openculinary/backend#65",
        caught_by=("lifecycle.async-view", "lifecycle.unwrapped-stream"),
        wrong=one_engine(None),
        corrected=one_engine(context),
    ),
    "keyed_by_native_thread": Specimen(
        "The scope is the system's thread, which all greenlets of a gevent worker share: so is the session.",
        met="vantage6/vantage6#2656",
        caught_by=("lifecycle.gevent",),
        wrong=binding(scope=get_native_id),
        corrected=binding(scope=get_ident),
    ),
    "keyed_by_thread_and_app": Specimen(
        "Nested contexts share a session: the end of the inner one removes the outer one's objects.",
        met="pallets-eco/flask-sqlalchemy#508, #944",
        caught_by=("lifecycle.nested-contexts",),
        wrong=binding(scope=lambda: (get_ident(), engine())),
        corrected=binding(scope=context),
    ),
    "keyed_by_context_id": Specimen(
        "The scope is the context's address: a later context at that address gets the old session.",
        met="ai-shifu/ai-shifu#2261",
        caught_by=("lifecycle.later-context",),
        wrong=binding(scope=lambda: id(context())),
        corrected=binding(scope=context, registry=weakly_scoped),
    ),
    "one_scope_outside": Specimen(
        "The scope is None outside contexts, so all threads share one session there.",
        met="vantage6/vantage6#2656",
        caught_by=("promises.thread-local",),
        wrong=one_engine(lambda: context() if has_app_context() else None),
        corrected=one_engine(lambda: context() if has_app_context() else get_ident()),
    ),
    "held_stream": Specimen(
        "A stream that is not closed leaves its context on the thread: later requests use its session.",
        met="pallets/flask#6123",
        caught_by=("lifecycle.held-stream",),
        wrong=binding(),
        corrected=binding(prepare=isolate_bodies),
    ),
    "ended_context": Specimen(
        "A context that has ended gets a new session, in a thread that outlives it: nothing ends that one.",
        met="no public thread",
        caught_by=("promises.outliving-thread",),
        wrong=binding(scope=context),
        corrected=binding(scope=context_that_lasts, end=remove_and_end_context),
    ),
    "listener_in_the_factory": Specimen(
        "Each app adds the listener once more to all sessions: one event is recorded several times.",
        met="the snippet's comment by sebastianmarkow (2012)",
        caught_by=("binding.listeners",),
        wrong=binding(prepare=listen),
        corrected=binding(registry=scoped_and_listening),
    ),
}
