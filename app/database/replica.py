"""Read from a replica of the database, in a session that writes nothing.

``init_engine`` binds the primary, ``init_replica`` the replica::

    with replica() as session:
        accounts = session.scalars(select(Account)).all()

A replica lags behind: after a commit of ``db_session``, also in the next request, it may
still return the older rows. ``db_session`` always uses the primary, so it reads its own writes.

Nothing else in this folder imports this module; leave it out if you have no replica.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import event
from sqlalchemy.orm import Session

from .bindings import Binding, UnboundError, without_app
from .bound_session import BoundSession
from .engines import make_engine
from .flask_hooks import binding_of_app
from .scopes import current_binding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from flask import Flask
    from sqlalchemy import URL, Engine


class ReadOnlyError(RuntimeError):
    """The session reads from a replica. The message says what to use instead."""


class ReplicaBinding(Binding):
    """Hold the engine of a replica. Code outside contexts means the primary."""

    serves_threads = False


class ReplicaSession(BoundSession):
    """A session on a replica, which refuses a flush."""


def _refuse(_session: Session, *_: object) -> None:
    message = "This session reads from a replica. Write with db_session."
    raise ReadOnlyError(message)


event.listen(ReplicaSession, "before_flush", _refuse)


def init_replica(
    uri: str | URL,
    *,
    app: Flask | None = None,
    session_options: Mapping[str, Any] | None = None,
    **options: Any,
) -> Engine:
    """Create the engine of the replica of ``app``, or of the engine without an app.

    A second call replaces the engine of the replica. If the call raises, nothing has changed.

    Args:
        uri: The replica, as for ``init_engine``.
        app: The app, as for ``init_engine``. Its replica is disposed of with its engine.
        session_options: Arguments for each session on the replica.
        options: As for ``init_engine``.

    Returns:
        The engine. It connects on first use. Its owner disposes of it.

    Raises:
        ValueError, TypeError, OSError: As ``init_engine``.
    """
    engine = make_engine(uri, directory=None if app is None else app.instance_path, **options)
    session_options = dict(session_options or {})
    Session(engine, **session_options)  # Refuse a wrong option here, not in a later request.
    primary = without_app if app is None else binding_of_app(app)
    if primary.replica is None:
        primary.replica = ReplicaBinding()
        primary.replica.connections = primary.connections  # Held until the app is deleted.
    primary.replica.session_options = session_options
    primary.replica.bind(engine)
    return engine


@contextmanager
def replica() -> Iterator[ReplicaSession]:
    """Open a session on the replica of the app for a ``with`` block, and end it with the block.

    It is a session of its own: its objects are not those of ``db_session``. It refuses a flush,
    also that of a commit; the replica itself refuses every other write.

    Yields:
        The session. To end it means what it means for ``db_session``; the signal
        ``session_removed`` is not sent.

    Raises:
        UnboundError: There is no replica here, or no app. The message says what to call.
        ReadOnlyError: In the block: the session has something to flush.
    """
    binding = current_binding().replica
    engine = None if binding is None else binding.engine
    if engine is None:
        message = "No replica is bound here. Set DATABASE_REPLICA_URI, or call init_replica(uri, app=app)."
        raise UnboundError(message)
    session = ReplicaSession(**{**binding.session_options, "bind": engine})  # type: ignore[union-attr] # it has an engine
    session.binding, session.engine = binding, engine
    try:
        yield session
    finally:
        session.end()
