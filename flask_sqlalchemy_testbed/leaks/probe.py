"""Look for leaks after a test: in pools, sessions and the registry, and on the server."""

from __future__ import annotations

import contextlib
import re
import weakref
from collections import Counter
from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.checks.causes import BESIDE
from flask_sqlalchemy_testbed.databases import DISCONNECT_DELAY
from flask_sqlalchemy_testbed.leaks import callers, threads
from flask_sqlalchemy_testbed.leaks.checkouts import Checkouts
from flask_sqlalchemy_testbed.leaks.destinations import Destinations
from flask_sqlalchemy_testbed.leaks.sessions import NamedRegistry, Sessions
from flask_sqlalchemy_testbed.statements import Statements
from flask_sqlalchemy_testbed.subject import app_threads
from flask_sqlalchemy_testbed.subject.raised import nearest_line
from flask_sqlalchemy_testbed.subject.shown import TESTBED

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from sqlalchemy.orm import Session

    from flask_sqlalchemy_testbed.databases import Database
    from flask_sqlalchemy_testbed.leaks.checkouts import Checkout

_BESIDE = re.compile(rf"\A.*, {BESIDE} (\S+:\d+)")
# The first word of a leak that is not open, but was changed.
CHANGE = "change"
# Of a session that is registered and not open.
CLOSED = "closed after its use: if its close() failed, remove() did not forget it"
UNUSED = "not used in this test"
FIRST = "first used at"


class Probe:
    """Finds leaks, and can close them so that the next test does not inherit them.

    Args:
        session: The name of the app's `scoped_session` as `module:attribute.path`; empty if unknown.
    """

    def __init__(self, session: str = "") -> None:
        self._checkouts = Checkouts()
        self._sessions = Sessions()
        self.statements = Statements()
        self.destinations = Destinations()
        self._registry = NamedRegistry(session) if session else None
        self._recognizes = False

    def look_into(self, session: str) -> None:
        """Check a `scoped_session` from now on, unless one was named before.

        Args:
            session: Its name as `module:attribute.path`; empty if unknown.
        """
        if session and self._registry is None:
            self._registry = NamedRegistry(session)

    def recognize(self, find: Callable[[], object], engines: Collection[str]) -> None:
        """Tell the app's sessions from others until the next test starts.

        Args:
            find: Returns the app's `scoped_session`, or None if it has none; it may raise outside contexts.
            engines: The lines of the app that make the engines of its session.
        """
        self._recognizes = True
        self._sessions.recognize(find, engines)

    def install(self) -> None:
        """Start listening to pools and sessions."""
        self._checkouts.install()
        self._sessions.install()
        self.statements.install()
        self.destinations.install()

    def remove(self) -> None:
        """Stop listening."""
        self._checkouts.remove()
        self._sessions.remove()
        self.statements.remove()
        self.destinations.remove()

    def start(self, database: Database) -> None:
        """Begin a test that uses this database; ignore sessions from before the test.

        Args:
            database: The first database of the test.
        """
        self.track(database)
        self._sessions.forget()
        self._recognizes = False
        self._sessions.recognize(None, ())
        self.statements.start(database)
        self.destinations.start()

    def track(self, database: Database) -> None:
        """Track the connections to one more database of the test.

        Args:
            database: A database that the test uses.
        """
        self._checkouts.track(database)
        self.destinations.track(database)

    def leaks(self, *databases: Database) -> list[str]:
        """Return the leaks of the test.

        Args:
            databases: The databases that the test used.

        Returns:
            A description of each leak. Its first word is `connection`, `session`, `transaction`, `lock`,
            `registered` for a session that is not open, or `change`; the code that opened it follows in
            further lines.
        """
        found: list[str] = []
        held = self._held_by_threads(databases)
        registered = self._registry.sessions() if self._registry is not None else {}
        for key in self._sessions.ids_of_threads() - {id(each) for each in held}:
            registered.pop(key, None)
        used = self._sessions.used()
        for database in databases:
            connections = [
                each
                for each in self._checkouts.of(database)
                if each in held or not threads.is_another(each.thread)
            ]
            sessions = [
                (session, description)
                for session, description in self._sessions.in_use(database)
                if session in held or not threads.is_another(self._sessions.thread_of(session))
            ]
            for each in connections:
                # A connection of a session is opened where the session is begun.
                place = "" if sessions or not self._recognizes else nearest_line(each.callers)
                found.append(f"connection {_with(_describe(each, database), 'taken', _beside(place))}")
            for session, description in sessions:
                place = f", kept in {registered.pop(id(session))}" if id(session) in registered else ""
                if self._sessions.is_beside(session):
                    place += _beside(self._sessions.line_of(session))
                found.append(f"session {_with(description, 'begun', place)}")
        first = self._sessions.first_uses() if registered else {}
        for key, place in registered.items():
            lines = [f"registered session in {place}, {CLOSED if key in used else UNUSED}"]
            if first.get(key):
                lines = [f"{lines[0]}; {FIRST}", *first[key]]
            found.append("\n    ".join(lines))
        for database in databases:
            # A server may notice the end of a transaction late; with a leak known, there is no need to wait.
            within = 0 if found else DISCONNECT_DELAY
            found += [str(each) for each in database.left_open(within)]
        return found + [f"{CHANGE} of the server: {change}" for change, _ in self.statements.changes()]

    def _held_by_threads(self, databases: Sequence[Database]) -> weakref.WeakSet[Checkout | Session]:
        """Return the connections and sessions that other live threads do not release soon.

        A thread of the app may be at work whenever a test ends; this is no leak.
        """
        held = self._of_threads(databases)

        def are_released() -> bool:
            held.intersection_update(self._of_threads(databases))
            return not held

        threads.wait_until(are_released)
        return held

    def _of_threads(self, databases: Sequence[Database]) -> weakref.WeakSet[Checkout | Session]:
        found: weakref.WeakSet[Checkout | Session] = weakref.WeakSet()
        for database in databases:
            found.update(each for each in self._checkouts.of(database) if threads.is_another(each.thread))
            found.update(self._sessions.of_threads(database))
        return found

    def repair(self, database: Database) -> None:
        """Close the leaks of this database, on the server first.

        Args:
            database: The database whose sessions and connections are closed.
        """
        with contextlib.suppress(Exception):
            database.end(database.left_open(within=0))
        self.statements.undo()
        for session, _ in self._sessions.in_use(database):
            if not threads.is_in_sqlalchemy(self._sessions.thread_of(session)):
                with contextlib.suppress(Exception):
                    session.invalidate()
        if self._registry is not None:
            self._registry.clear(self._sessions.ids_of_threads())
        for checkout in self._checkouts.of(database):
            self._checkouts.close(checkout)
        self._sessions.forget()


def describe(leaks: list[str]) -> str:
    """Return a message about these leaks: their numbers in one line, then each leak in full.

    Args:
        leaks: The result of `Probe.leaks`.
    """
    kinds = Counter(leak.partition(" ")[0] for leak in leaks)
    registered = kinds.pop("registered", 0)
    counts = ", ".join(f"{count} {kind}{'s' if count > 1 else ''}" for kind, count in kinds.items())
    open_ones = [f"left open: {counts}"] if kinds else []
    closed = f"left in its scoped_session: {registered} session that is closed or was never used"
    if registered > 1:
        closed = f"left in their scoped_session: {registered} sessions that are closed or were never used"
    # The first line is the one that a report shows.
    places = [at.strip() for leak in leaks if f"; {FIRST}\n" in leak for at in leak.splitlines()[1:2]]
    if places:
        closed += f", {FIRST} {', '.join(dict.fromkeys(places))}".replace(f"at {TESTBED}", f"in {TESTBED}")
    # Only if it explains them all: the app's session may hold the others.
    beside = [found[1] for leak in leaks if (found := _BESIDE.search(leak))]
    if len(beside) == (kinds.get("session", 0) or kinds.get("connection", 0)) and beside and not registered:
        open_ones = [f"{open_ones[0]}, {BESIDE} {', '.join(dict.fromkeys(beside))}"]
    items = ["\n  ".join(f"- {leak}".splitlines()) for leak in leaks]
    if kinds.keys() == {CHANGE}:
        remedy = "Undo it before the test ends: all databases of the server share this, in parallel runs too."
        return "\n".join([f"left behind: {counts}", *items, remedy])
    remedy = "Close them, or remove the session, before the test ends."
    first = "; ".join([*open_ones, *[closed] * bool(registered)])
    return "\n".join([f"{first}{app_threads.clause()}", *items, remedy])


def _beside(place: str) -> str:
    return f", {BESIDE} {place}" if place else ""


def _with(description: str, before: str, clause: str) -> str:
    """Return a description with a clause before the word that introduces the lines of code."""
    return description.replace(f", {before} at", f"{clause}, {before} at", 1)


def _describe(checkout: Checkout, database: Database) -> str:
    state = "detached and not closed" if checkout.detached else "checked out"
    url = database.url.render_as_string(hide_password=True)
    return "\n    ".join(
        [f"to {url} {state}, in {checkout.thread.name}, taken at", *callers.lines(checkout.callers)]
    )
