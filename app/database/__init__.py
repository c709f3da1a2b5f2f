"""Bind SQLAlchemy to Flask apps at run time, and end each session with its context.

``db_session`` can be imported before an engine exists. The app factory creates the engine::

    def create_app(config):
        app = Flask(__name__)
        app.config.from_pyfile(config)
        init_engine(app.config["DATABASE_URI"], app=app)
        return app

``db_session`` is a ``scoped_session``. Its current session is:

- inside an app context: the session of that context object. It ends with the context,
  whatever the app's own teardown callbacks do.
- inside a response body that runs after its context has ended: the session of that response.
  It ends with the body, at the latest when the server closes the response.
- anywhere else: the session of the thread, on the one live engine. ``db_session.remove()``
  ends it, or else the end of the thread.

To end a session means: roll it back, close it, return its connection to the pool, and send
the signal ``session_removed``. If the rollback fails, the connection is closed. A transaction
that a two-phase session has prepared is rolled back, too. A session that has ended raises
``StaleSessionError`` wherever it is still held.

A thread in a copy of a context, as ``asyncio.to_thread`` makes one, shares the session of
that context. When the context has ended, ``db_session`` raises ``UnboundError`` there, until
the context is pushed again; a new context in the thread has a session of its own. If a
statement of the thread runs at that moment, its connection leaves the pool, the statement
raises ``StaleSessionError``, and its thread closes the connection.

After a fork, even one in C that Python is not told of, the child uses neither the sessions
nor the connections of its parent. It must not use a ``Connection`` that the parent has taken
from an engine itself.

A session on ``engine.execution_options(...)``, or on a connection of the engine, counts as a
session of that engine. ``db_session(bind=...)`` and ``db_session.configure(bind=...)`` accept
any other engine, too; such an engine needs no ``init_engine``, and is never stale.

An app that nothing refers to is garbage collected, and its engine with it: keep the app in a
variable. The error that follows names the app.

To observe the binding: ``live_engines()`` and ``live_sessions()`` return what is there now.
``session_removed`` is a signal of blinker, like Flask's own signals. It calls
``receiver(engine, session=session)`` after each end of a session, and holds its receivers
weakly. For all other events, register SQLAlchemy's listeners on ``db_session`` or the engine.

To use the binding elsewhere, copy this folder; ``replica.py`` can be left out. It needs Flask
3.0 and SQLAlchemy 2.1, or newer. ``init_engine`` wraps ``app.wsgi_app`` and
``app.do_teardown_appcontext``; add your WSGI middleware afterwards, so that it is outside.
Such middleware sees the context variables that a view sets. It does not see those that are
set while a streamed body runs, since the body has a copy of them. A server receives its own
wrapper of a file, and may send the file itself.

The idea and the names come from a public-domain Flask snippet by Dan Jacob (2010), with
comments by Amit Matani, sebastianmarkow and Donald Curtis.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import DeclarativeBase, Session

from .bindings import UnboundError, live_bindings, without_app
from .bound_session import StaleSessionError
from .engines import make_engine
from .flask_hooks import binding_of_app
from .pooler import LostSettingError
from .scopes import current_binding
from .sessions import db_session, session_removed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Flask
    from sqlalchemy import URL, Engine

__all__ = [
    "Base",
    "LostSettingError",
    "StaleSessionError",
    "UnboundError",
    "create_all",
    "db_session",
    "drop_all",
    "get_engine",
    "init_engine",
    "live_engines",
    "live_sessions",
    "session_removed",
]


class Base(DeclarativeBase):
    """The base class of the models; its metadata holds their tables."""


def init_engine(
    uri: str | URL,
    *,
    app: Flask | None = None,
    session_options: Mapping[str, Any] | None = None,
    **options: Any,
) -> Engine:
    """Create the engine of ``app``, or an engine without an app. It connects on first use.

    A second call for the same app, or a second call without one, replaces the engine: it
    disposes of the old engine and removes the caller's own session. Other sessions of the old
    engine raise ``StaleSessionError`` until their thread or context removes them; none of them
    commits, by any way. Engines of other apps are left alone. If the call raises, nothing has
    changed.

    Args:
        uri: The database. A scheme without a driver means the installed driver. A relative
            SQLite path is in the app's instance folder, which is created.
        app: The app that owns the engine. The engine is disposed of when the app is garbage
            collected, or at exit. An engine without an app lives until it is replaced.
        session_options: Arguments for each session on this engine. They replace the
            defaults of ``db_session``, which are ``autoflush`` and ``expire_on_commit``.
        options: Arguments for ``make_engine`` and ``create_engine``. They replace the defaults in
            ``engines.py``.

    Returns:
        The engine, also available from ``get_engine()`` and, for the app's own code, from
        ``current_app.extensions["database"].engine``. Its owner disposes of it, see ``app``.

    Raises:
        ValueError: The URI cannot be read. The message does not contain the URI.
        TypeError: ``create_engine`` or ``Session`` does not accept one of the options.
        OSError: The option ``password_file`` names a file that cannot be read.
    """
    engine = make_engine(uri, directory=None if app is None else app.instance_path, **options)
    session_options = dict(session_options or {})
    Session(engine, **session_options)  # Refuse a wrong option here, not in a later request.
    binding = without_app if app is None else binding_of_app(app)
    own = db_session.registry.peek()
    if own is not None and own.binding is binding:
        db_session.remove()
    binding.session_options = session_options
    binding.bind(engine)
    return engine


def get_engine() -> Engine:
    """Return the engine of ``current_app``; outside contexts, the one live engine.

    Returns:
        The engine that ``db_session`` is bound to here. ``init_engine`` says who disposes of it.

    Raises:
        UnboundError: ``current_app`` has no engine; or, outside contexts, no engine is live,
            or several are. The message says what to call.
    """
    return current_binding().engine  # type: ignore[return-value] # a current binding has an engine


def create_all() -> None:
    """Create the tables of ``Base`` that do not exist yet, on ``get_engine()``.

    Raises:
        UnboundError: As ``get_engine()``.
    """
    Base.metadata.create_all(get_engine())


def drop_all() -> None:
    """Remove the current session, then drop the tables of ``Base`` on ``get_engine()``.

    An open transaction of the session would block ``DROP TABLE`` on PostgreSQL and MySQL.

    Raises:
        UnboundError: As ``get_engine()``.
    """
    db_session.remove()
    Base.metadata.drop_all(get_engine())


def live_engines() -> list[Engine]:
    """Return the engines that are live in this process.

    An engine is live from ``init_engine`` until it is replaced, disposed of, or its app is
    garbage collected. An engine that was disposed of is live again when it connects again.

    Returns:
        The engines, in no particular order. The list keeps them alive, so do not store it.
    """
    return [engine for binding in live_bindings() if (engine := binding.engine) is not None]


def live_sessions() -> list[Session]:
    """Return the sessions of all contexts, responses and threads that have not ended.

    Returns:
        The sessions, in no particular order, for inspection: a session belongs to the thread
        that uses it. The list keeps them alive, so do not store it.
    """
    return [*db_session.registry.sessions()]
