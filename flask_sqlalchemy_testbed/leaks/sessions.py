"""Knows which sessions are still in use, wherever they are kept."""

from __future__ import annotations

import contextlib
import gc
import sys
import threading
import weakref
from typing import TYPE_CHECKING, Any

from sqlalchemy import event
from sqlalchemy.orm import Session

from flask_sqlalchemy_testbed.leaks import stacks
from flask_sqlalchemy_testbed.leaks.checkouts import DATABASE_KEY

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection
    from sqlalchemy.orm import SessionTransaction

    from flask_sqlalchemy_testbed.databases import Database


class Sessions:
    """Listens while it is installed; it keeps no session alive."""

    def __init__(self) -> None:
        self._begun: weakref.WeakKeyDictionary[Session, stacks.Place] = weakref.WeakKeyDictionary()
        self._databases: weakref.WeakKeyDictionary[Session, str | None] = weakref.WeakKeyDictionary()
        self._lock = threading.Lock()
        self._listeners = (("after_transaction_create", self._create), ("after_begin", self._begin))

    def install(self) -> None:
        """Begins to listen, on sessions that are there already too."""
        for name, listener in self._listeners:
            event.listen(Session, name, listener)

    def remove(self) -> None:
        """Stops listening."""
        for name, listener in self._listeners:
            event.remove(Session, name, listener)

    def forget(self) -> None:
        """From here on only what is used anew counts."""
        with self._lock:
            self._begun.clear()

    def left(self, database: Database) -> list[tuple[Session, str]]:
        """The sessions that are in a transaction or hold objects, with where that began."""
        found = self._in_use(database)
        if any(not session.in_transaction() for session, _ in found):
            # A session without a transaction harms nobody, so one that only waits for the collector is none.
            del found
            gc.collect()
            found = self._in_use(database)
        return [(session, _describe(session, place)) for session, place in found]

    def _in_use(self, database: Database) -> list[tuple[Session, stacks.Place]]:
        with self._lock:
            begun = list(self._begun.items())
        return [
            (session, place)
            for session, place in begun
            if (session.in_transaction() or session.new or len(session.identity_map))
            and self._may_be_of(session, database)
        ]

    def _may_be_of(self, session: Session, database: Database) -> bool:
        """Whether it uses that database, or has not shown yet which it will use."""
        if session in self._databases:
            return self._databases[session] == database.name
        engine = getattr(session.bind, "engine", None)
        return engine is None or database.is_named_in(engine.url.database or "")

    def _create(self, session: Session, transaction: SessionTransaction) -> None:
        if transaction.parent is None:
            with self._lock:
                self._begun[session] = stacks.here()

    def _begin(self, session: Session, transaction: SessionTransaction, connection: Connection) -> None:
        del transaction
        info = connection.connection.record_info or {}
        with self._lock:
            self._databases[session] = info.get(DATABASE_KEY)


def _describe(session: Session, place: stacks.Place) -> str:
    state = "in a transaction" if session.in_transaction() else "not in a transaction"
    held = len(session.identity_map) + len(session.new)
    return "\n    ".join(
        [f"of {type(session).__name__} {state}, holding {held} objects, begun at", *stacks.tell(place)]
    )


class Registry:
    """The `scoped_session` that `module:attribute.path` names, looked up anew each time it is asked."""

    def __init__(self, name: str) -> None:
        self._name = name

    def left(self) -> list[str]:
        """For whom it holds a session: for this thread, or for any scope where scopes can be listed."""
        registry = None
        with contextlib.suppress(RuntimeError):  # Flask's: one that is kept in a context is in that alone.
            registry = getattr(self._find(), "registry", None)
        if registry is None:
            return []
        with contextlib.suppress(Exception):  # A scope function may insist on a context, which has ended.
            if registry.has():
                return [f"{self._name}, for {threading.current_thread().name}"]
        scopes = getattr(registry, "registry", None)
        return (
            [f"{self._name}, for the scope {scope!r}" for scope in scopes] if isinstance(scopes, dict) else []
        )

    def clear(self) -> None:
        """Closes what it holds, and forgets it."""
        found = None
        with contextlib.suppress(Exception):
            found = self._find()
            found.remove()
        scopes = None
        with contextlib.suppress(RuntimeError):
            scopes = getattr(getattr(found, "registry", None), "registry", None)
        if isinstance(scopes, dict):
            for session in list(scopes.values()):
                with contextlib.suppress(Exception):
                    session.close()
            scopes.clear()

    def _find(self) -> Any:
        module, _, path = self._name.partition(":")
        # What no test has imported holds nothing.
        found: Any = sys.modules.get(module)
        for attribute in path.split(".") if found is not None else ():
            found = getattr(found, attribute, None)
        return found
