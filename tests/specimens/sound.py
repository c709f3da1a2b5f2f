"""Bindings and settings that are unusual and right: no check may fail on them.

Each was the reason of a false alarm, or is related to one.
"""

import os
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar, copy_context
from functools import partial
from typing import Any, Self

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from tests.specimens.bindings import Binding, Sound, ledger
from tests.specimens.plain import context, engine, make_app, make_engine, new_session, scoped

response: ContextVar[object] = ContextVar("response")
engines: weakref.WeakSet[Engine] = weakref.WeakSet()
ended: weakref.WeakSet[object] = weakref.WeakSet()


class Body:
    """A response with context variables of its own.

    Its end calls `remove`, if there is one, which removes the session of its request.
    """

    def __init__(self, remove: Callable[[], object] | None, wsgi_app: Any, *request: Any) -> None:
        self._remove = remove
        self._context = copy_context()
        if remove:
            self._context.run(response.set, self)
        self._chunks: Any = ()
        try:
            self._chunks = self._context.run(wsgi_app, *request)
        except BaseException:
            self.close()
            raise
        self._iterator: Iterator[bytes] = iter(self._chunks)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        return self._context.run(next, self._iterator)

    def close(self) -> None:
        """End the response, then its session, as PEP 3333 has each server do."""
        try:
            self._context.run(getattr(self._chunks, "close", int))
        finally:
            if self._remove:
                self._context.run(self._remove)


def scope() -> object:
    """Return the response or the context, and refuse a response that has ended."""
    if (found := response.get(None) or context()) in ended:
        message = "The response has ended."
        raise RuntimeError(message)
    return found


def response_scoped(
    make: Callable[[Flask], Engine] | None = None,
    new_session: Callable[..., Session] = new_session,
    *,
    until_closed: bool = True,
    client: type[FlaskClient] | None = None,
) -> Binding:
    """Build a binding whose sessions last until the server closes the response.

    Args:
        make: Makes the engine of an app.
        new_session: Makes a session.
        until_closed: If false, the sessions end with their contexts.
        client: The class of the apps' test clients.
    """
    session = scoped(new_session, scope)

    def remove() -> None:
        if (last := response.get(None) or context()) in ended:
            return
        try:
            session.remove()
        except DBAPIError as error:
            # The server has rolled back the transaction of a connection that was lost.
            if not error.connection_invalidated:
                raise
        finally:
            session.registry.clear()
            if isinstance(last, Body):  # A context can be pushed again.
                ended.add(last)

    def create_app(config: Mapping[str, Any]) -> Flask:
        app = make_app(config)
        if make:
            app.extensions["engine"] = make(app)
        wsgi_app, teardown = app.wsgi_app, app.do_teardown_appcontext
        app.wsgi_app = lambda *request: Body(remove if until_closed else None, wsgi_app, *request)  # type: ignore[method-assign]

        def do_teardown_appcontext(*arguments: Any) -> None:
            try:
                teardown(*arguments)
            finally:
                if response.get(None) is None:
                    remove()

        app.do_teardown_appcontext = do_teardown_appcontext  # type: ignore[method-assign]
        app.test_client_class = client
        engines.add(app.extensions["engine"])
        return app

    return Binding(session, create_app)


def in_autocommit(app: Flask) -> Engine:
    uri = app.config["DATABASE_URI"]
    engine = make_engine(uri, directory=app.instance_path, isolation_level="AUTOCOMMIT")
    if engine.dialect.name == "sqlite":
        event.listen(engine, "begin", begin_by_option)
    return engine


def begin_by_option(connection: Connection) -> None:
    """Begin a transaction of SQLite, whose driver would begin only before a change."""
    if "isolation_level" in connection.get_execution_options():
        connection.exec_driver_sql("BEGIN")


def transactional() -> Session:
    return Session(engine().execution_options(isolation_level="SERIALIZABLE"))


def dispose_in_child() -> None:
    """Forget the connections of the process that was forked."""
    for inherited in list(engines):
        inherited.dispose(close=False)


os.register_at_fork(after_in_child=dispose_in_child)


class BufferingClient(FlaskClient):
    """A test client that closes each response, as every server does."""

    def open(self, *arguments: Any, **options: Any) -> Any:
        return super().open(*arguments, buffered=True, **options)


SOUND = {
    "context_scoped": Sound(
        "A session ends with its context, after all callbacks: the base of most wrong bindings.",
        partial(response_scoped, until_closed=False),
    ),
    "response_scoped": Sound(
        "A request's session lasts until the server closes the response, as PEP 3333 has it close each one.",
        response_scoped,
    ),
    "client_that_closes": Sound(
        "A request's session lasts until its response is closed, and the app's own test client closes each.",
        partial(response_scoped, client=BufferingClient),
    ),
    "serializable": Sound(
        "All transactions are SERIALIZABLE: of two that change one row, PostgreSQL refuses the second.",
        ledger({"isolation_level": "SERIALIZABLE"}),
    ),
    "another_isolation": Sound(
        "Transactions are isolated in another way than by default; on SQLite each begins as a writer.",
        ledger(
            sqlite={"execution_options": {"sqlite_begin": "IMMEDIATE"}},
            postgresql={"isolation_level": "REPEATABLE READ"},
            mysql={"isolation_level": "READ COMMITTED"},
        ),
    ),
    "two_connections": Sound(
        "The pool has two connections, fewer than the default of every pool.",
        ledger({"pool_size": 2, "max_overflow": 0}),
    ),
    "autocommit_by_default": Sound(
        "The engine is in AUTOCOMMIT mode for scripts; an option gives the sessions their transactions.",
        partial(response_scoped, make=in_autocommit, new_session=transactional),
    ),
}
