"""Make a session for each scope, on the engine of the scope, and end it with the scope."""

from __future__ import annotations

import contextlib
import weakref
from typing import TYPE_CHECKING, Any

from blinker import Namespace
from sqlalchemy.orm import scoped_session, sessionmaker
from sqlalchemy.util import ScopedRegistry

from . import forks
from .bindings import Binding, UnboundError, live_bindings
from .bound_session import BoundSession, StaleSessionError, connections_of_sessions
from .scopes import (
    ThreadScope,
    binding_of,
    current_binding,
    current_scope,
    mark_ended,
    refuse_if_ended,
)

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

session_removed = Namespace().signal(
    "session-removed",
    doc="Sent after a session has ended: rolled back, closed, and out of its scope."
    " The sender is its engine; the session is the argument `session`.",
)


class BoundSessionmaker(sessionmaker[BoundSession]):
    """A factory that looks up the engine when it makes a session.

    It is a real ``sessionmaker``, so that event listeners can be registered on ``db_session``.
    """

    def __call__(self, *, binding: Binding | None = None, **options: Any) -> BoundSession:
        """Make a session on ``binding``, by default the current one; an option ``bind`` replaces it.

        A bind that uses the connections of a live engine, such as an option engine, counts as that engine.
        """
        bind = options.get("bind") or self.kw["bind"]
        follows_scope = bind is None
        engine: Engine | None
        if follows_scope:
            binding = binding or current_binding()
            # Read once: another thread may replace it.
            bind = engine = binding.engine
        else:
            binding, engine = _owner_of(bind)
        session_options = {} if binding is None else binding.session_options
        session = self.class_(**{**self.kw, **session_options, **options, "bind": bind})
        session.binding = binding
        session.follows_scope = follows_scope
        session.engine = engine
        return session


def _owner_of(bind: Engine | Connection) -> tuple[Binding | None, Engine | None]:
    """Return the binding whose engine gives ``bind`` its connections, and that engine."""
    bindings = live_bindings()
    with contextlib.suppress(UnboundError):
        bindings.append(current_binding())
    for binding in bindings:
        engine = binding.engine
        if engine is not None and engine.pool is bind.engine.pool:
            return binding, engine
    return None, None


class ScopeRegistry(ScopedRegistry[BoundSession]):
    """Hold one session for each scope, weakly.

    A scope that is garbage collected loses its session.
    """

    createfunc: BoundSessionmaker

    def __init__(self, createfunc: BoundSessionmaker) -> None:
        super().__init__(createfunc, current_scope)
        self.registry: weakref.WeakKeyDictionary[object, BoundSession] = weakref.WeakKeyDictionary()

    def __call__(self) -> BoundSession:
        """Return the session of the current scope; make one if there is none."""
        scope = self.scopefunc()
        session = self.registry.get(scope)
        if session is None:
            return self._enter(scope, self.createfunc())
        if (
            isinstance(scope, ThreadScope)
            and session.follows_scope
            and session.binding is not binding_of(scope)
        ):
            message = "The engine of this session was disposed of. Call db_session.remove() and start again."
            raise StaleSessionError(message)
        return session

    def set(self, obj: BoundSession) -> None:
        """Enter a session that was made with options."""
        self._enter(self.scopefunc(), obj)

    def _enter(self, scope: object, session: BoundSession) -> BoundSession:
        session = self.registry.setdefault(scope, session)
        if isinstance(scope, ThreadScope):
            scope.registries.add(self)
        # Entered before the question: either this thread sees the end, or the end sees the session.
        try:
            refuse_if_ended(scope)
        except UnboundError:
            self.registry.pop(scope, None)
            raise
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
        session.end()
        if session_removed.receivers:
            session_removed.send(session.engine or session.bind, session=session)


class BoundScopedSession(scoped_session[BoundSession]):
    """A ``scoped_session`` by context, response or thread. ``remove()`` needs no engine."""

    registry: ScopeRegistry

    def __init__(self, session_factory: BoundSessionmaker) -> None:
        super().__init__(session_factory)
        self.registry = ScopeRegistry(session_factory)

    def remove(self) -> None:
        """End the session of the current scope, if there is one."""
        self.registry.end(current_scope())


def end_scope(scope: object) -> None:
    """End the session of ``scope``, and let it have no other one."""
    mark_ended(scope)
    db_session.registry.end(scope)


# Both options are explicit, because the defaults of sessionmaker and create_session differ.
db_session = BoundScopedSession(BoundSessionmaker(class_=BoundSession, autoflush=True, expire_on_commit=True))


def _leave_the_parents_alone() -> None:
    """Give each live engine an empty pool, and each scope no session, in a forked child."""
    live = live_bindings()
    for session in {*db_session.registry.sessions(), *(session for _, session in connections_of_sessions())}:
        session.disown()
    db_session.registry.registry.clear()
    for binding in live:
        if binding.engine is not None:
            forks.replace_pool(binding.engine)
            binding.be_live()


forks.in_child.append(_leave_the_parents_alone)
