"""Look for leaks after a test: in pools, sessions and the registry, and on the server."""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.databases import DISCONNECT_DELAY
from flask_sqlalchemy_testbed.leaks import callers
from flask_sqlalchemy_testbed.leaks.checkouts import Checkouts
from flask_sqlalchemy_testbed.leaks.sessions import NamedRegistry, Sessions

if TYPE_CHECKING:
    from flask_sqlalchemy_testbed.databases import Database
    from flask_sqlalchemy_testbed.leaks.checkouts import Checkout


class Probe:
    """Finds leaks, and can close them so that the next test does not inherit them.

    Args:
        session: The name of the app's `scoped_session` as `module:attribute.path`; empty if unknown.
    """

    def __init__(self, session: str = "") -> None:
        self._checkouts = Checkouts()
        self._sessions = Sessions()
        self._registry = NamedRegistry(session) if session else None

    def look_into(self, session: str) -> None:
        """Check a `scoped_session` from now on, unless one was named before.

        Args:
            session: Its name as `module:attribute.path`; empty if unknown.
        """
        if session and self._registry is None:
            self._registry = NamedRegistry(session)

    def install(self) -> None:
        """Start listening to pools and sessions."""
        self._checkouts.install()
        self._sessions.install()

    def remove(self) -> None:
        """Stop listening."""
        self._checkouts.remove()
        self._sessions.remove()

    def start(self, database: Database) -> None:
        """Begin a test that uses this database; ignore sessions from before the test.

        Args:
            database: The first database of the test.
        """
        self.track(database)
        self._sessions.forget()

    def track(self, database: Database) -> None:
        """Track the connections to one more database of the test.

        Args:
            database: A database that the test uses.
        """
        self._checkouts.track(database)

    def leaks(self, *databases: Database) -> list[str]:
        """Return the leaks of the test.

        Args:
            databases: The databases that the test used.

        Returns:
            A description of each leak. Its first word is `connection`, `session` or `transaction`; the code
            that opened it follows in further lines.
        """
        found: list[str] = []
        for database in databases:
            found += [f"connection {_describe(each, database)}" for each in self._checkouts.of(database)]
            found += [f"session {description}" for _, description in self._sessions.in_use(database)]
        if self._registry is not None:
            found += [f"session in {description}" for description in self._registry.in_use()]
        for database in databases:
            # A server may notice the end of a transaction late; with a leak known, there is no need to wait.
            within = 0 if found else DISCONNECT_DELAY
            found += [str(each) for each in database.open_transactions(within)]
        return found

    def repair(self, database: Database) -> None:
        """Close the leaks of this database, on the server first.

        Args:
            database: The database whose sessions and connections are closed.
        """
        with contextlib.suppress(Exception):
            database.terminate([each.session for each in database.open_transactions(within=0)])
        for session, _ in self._sessions.in_use(database):
            with contextlib.suppress(Exception):
                session.invalidate()
        if self._registry is not None:
            self._registry.clear()
        for checkout in self._checkouts.of(database):
            self._checkouts.close(checkout)
        self._sessions.forget()


def describe(leaks: list[str]) -> str:
    """Return a message about these leaks: their numbers in one line, then each leak in full.

    Args:
        leaks: The result of `Probe.leaks`.
    """
    kinds = Counter(leak.partition(" ")[0] for leak in leaks)
    counts = ", ".join(f"{count} {kind}{'s' if count > 1 else ''}" for kind, count in kinds.items())
    items = ["\n  ".join(f"- {leak}".splitlines()) for leak in leaks]
    remedy = "Close them, or remove the session, before the test ends."
    return "\n".join([f"left open: {counts}", *items, remedy])


def _describe(checkout: Checkout, database: Database) -> str:
    state = "detached and not closed" if checkout.detached else "checked out"
    url = database.url.render_as_string(hide_password=True)
    return "\n    ".join(
        [f"to {url} {state}, in {checkout.thread}, taken at", *callers.lines(checkout.callers)]
    )
