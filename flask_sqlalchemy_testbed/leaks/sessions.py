"""Track the sessions that are in use, and inspect a `scoped_session` that is named."""

from __future__ import annotations

import contextlib
import gc
import sys
import threading
import weakref
from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import Session

from flask_sqlalchemy_testbed.leaks import callers, threads
from flask_sqlalchemy_testbed.leaks.checkouts import DATABASE_KEY
from flask_sqlalchemy_testbed.subject import engines
from flask_sqlalchemy_testbed.subject.raised import nearest_line
from flask_sqlalchemy_testbed.timeline.subscription import Subscription

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from sqlalchemy.engine import Connection
    from sqlalchemy.orm import SessionTransaction

    from flask_sqlalchemy_testbed.databases import Database


class Sessions(Subscription):
    """The sessions that began a transaction; none is kept alive."""

    def __init__(self) -> None:
        self._begun: weakref.WeakKeyDictionary[Session, callers.Callers] = weakref.WeakKeyDictionary()
        self._first: weakref.WeakKeyDictionary[Session, callers.Callers] = weakref.WeakKeyDictionary()
        self._databases: weakref.WeakKeyDictionary[Session, str | None] = weakref.WeakKeyDictionary()
        self._threads: weakref.WeakKeyDictionary[Session, threading.Thread] = weakref.WeakKeyDictionary()
        self._engines: weakref.WeakKeyDictionary[Session, str] = weakref.WeakKeyDictionary()
        self._of_app: weakref.WeakKeyDictionary[Session, bool] = weakref.WeakKeyDictionary()
        self._find_scoped: Callable[[], Any] | None = None
        self._engines_of_app: Collection[str] = ()
        self._lock = threading.Lock()
        super().__init__(
            [(Session, "after_transaction_create", self._create), (Session, "after_begin", self._begin)]
        )

    def forget(self) -> None:
        """Forget all sessions until they begin another transaction."""
        with self._lock:
            self._begun.clear()

    def recognize(self, find: Callable[[], Any] | None, engines: Collection[str]) -> None:
        """Tell the app's sessions from others from now on, or tell none apart.

        Args:
            find: Returns the app's `scoped_session`, or None if it has none; it may raise outside contexts.
            engines: The lines of the app that make the engines of its session.
        """
        self._find_scoped, self._engines_of_app = find, engines

    def is_beside(self, session: Session) -> bool:
        """Return whether a session is not the app's; false if that is unknown."""
        of_app = self._of_app.get(session)
        if of_app is None and self._engines_of_app:
            return self._engines.get(session, "") not in {"", *self._engines_of_app}
        return of_app is False

    def line_of(self, session: Session) -> str:
        """Return the line of the app that began the session, as `file:line`; empty if it is none."""
        with self._lock:
            return nearest_line(self._begun.get(session, []))

    def used(self) -> set[int]:
        """Return the ids of the sessions that began a transaction."""
        with self._lock:
            return {id(session) for session in self._begun}

    def thread_of(self, session: Session) -> threading.Thread:
        """Return the thread that began the session's last transaction."""
        return self._threads.get(session, threading.current_thread())

    def of_threads(self, database: Database) -> list[Session]:
        """Return the sessions in use that other live threads have begun."""
        found = self._in_use(database)
        return [session for session, _ in found if threads.is_another(self.thread_of(session))]

    def ids_of_threads(self) -> set[int]:
        """Return the ids of the sessions that other live threads have begun, in use or not."""
        with self._lock:
            return {id(session) for session, thread in self._threads.items() if threads.is_another(thread)}

    def first_uses(self) -> dict[int, list[str]]:
        """Return the lines of the code that used each session first, by the session's id."""
        with self._lock:
            first = {id(session): begun for session, begun in self._first.items()}
        return {key: callers.lines(begun) for key, begun in first.items()}

    def in_use(self, database: Database) -> list[tuple[Session, str]]:
        """Return the sessions that are in a transaction or hold objects, each with a description."""
        found = self._in_use(database)
        if any(not session.in_transaction() for session, _ in found):
            # A session without a transaction blocks no other one: wait for the garbage collector first.
            del found
            gc.collect()
            found = self._in_use(database)
        return [(session, _describe(session, begun)) for session, begun in found]

    def _in_use(self, database: Database) -> list[tuple[Session, callers.Callers]]:
        with self._lock:
            all_begun = list(self._begun.items())
        return [
            (session, begun)
            for session, begun in all_begun
            if (session.in_transaction() or session.new or len(session.identity_map))
            and self._may_be_on(session, database)
        ]

    def _may_be_on(self, session: Session, database: Database) -> bool:
        """Return whether the session is on that database, or has not connected to any yet."""
        if session in self._databases:
            return self._databases[session] == database.name
        engine = getattr(session.bind, "engine", None)
        return engine is None or database.is_named_in(engine.url.database or "")

    def _create(self, session: Session, transaction: SessionTransaction) -> None:
        if transaction.parent is None:
            with self._lock:
                self._begun[session] = begun = callers.of_this_call()
                self._threads[session] = threading.current_thread()
                self._first.setdefault(session, begun)
            self._note_owner(session)

    def _note_owner(self, session: Session) -> None:
        """Note whether the app's `scoped_session` holds a session, or has held it before."""
        with contextlib.suppress(Exception):  # A scope function may need a context.
            registry = getattr(self._find_scoped and self._find_scoped(), "registry", None)
            if registry is not None:
                kept = getattr(registry, "registry", None)
                held = [*kept.values()] if isinstance(kept, dict) else [registry()] * registry.has()
                is_held = any(one is session for one in held)
                self._of_app[session] = self._of_app.get(session, False) or is_held

    def _begin(self, session: Session, transaction: SessionTransaction, connection: Connection) -> None:
        del transaction
        info = connection.connection.record_info or {}
        with self._lock:
            self._databases[session] = info.get(DATABASE_KEY)
            self._engines[session] = engines.made_at(connection.engine)
        # A factory of sessions may begin a transaction before the registry has the session.
        self._note_owner(session)


def _describe(session: Session, begun: callers.Callers) -> str:
    state = "in a transaction" if session.in_transaction() else "not in a transaction"
    held = len(session.identity_map) + len(session.new)
    # An object that nothing else refers to may have been collected.
    objects = f", holding {held} object{'' if held == 1 else 's'}" if held else ""
    return "\n    ".join([f"of {type(session).__name__} {state}{objects}, begun at", *callers.lines(begun)])


class NamedRegistry:
    """The `scoped_session` that `module:attribute.path` names, looked up at each call."""

    def __init__(self, name: str) -> None:
        self._name = name

    def sessions(self) -> dict[int, str]:
        """Return the ids of the sessions that it holds, each with its place.

        They are those of this thread, or of any scope if scopes can be listed.
        """
        registry = None
        with contextlib.suppress(Exception):  # A session that is kept in a context ends with it.
            registry = getattr(self._find(), "registry", None)
        if registry is None:
            return {}
        with contextlib.suppress(Exception):  # A scope function may need a context, which has ended.
            if registry.has():
                return {id(registry()): f"{self._name}, for {threading.current_thread().name}"}
        scopes = getattr(registry, "registry", None)
        if not isinstance(scopes, dict):
            return {}
        return {id(session): f"{self._name}, for the scope {scope!r}" for scope, session in scopes.items()}

    def clear(self, of_threads: set[int]) -> None:
        """Close and forget the sessions that it holds, except those of other live threads.

        Args:
            of_threads: The ids of the sessions that other live threads have begun.
        """
        found = None
        with contextlib.suppress(Exception):
            found = self._find()
            found.remove()
        scopes = None
        with contextlib.suppress(RuntimeError):
            scopes = getattr(getattr(found, "registry", None), "registry", None)
        if isinstance(scopes, dict):
            for scope, session in list(scopes.items()):
                if id(session) in of_threads:
                    continue
                with contextlib.suppress(Exception):
                    session.close()
                scopes.pop(scope, None)

    def _find(self) -> Any:
        module, _, path = self._name.partition(":")
        # A module that no test has imported holds no session.
        found: Any = sys.modules.get(module)
        for attribute in path.split(".") if found is not None else ():
            found = getattr(found, attribute, None)
        return found
