"""After a test nothing may be left of its sessions: in the pools, in the registry, on the server."""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.databases import DISCONNECT_DELAY
from flask_sqlalchemy_testbed.leaks import stacks
from flask_sqlalchemy_testbed.leaks.checkouts import Checkouts
from flask_sqlalchemy_testbed.leaks.sessions import Registry, Sessions

if TYPE_CHECKING:
    from flask_sqlalchemy_testbed.databases import Database
    from flask_sqlalchemy_testbed.leaks.checkouts import Checkout


class Probe:
    """Looks for what is left, and can do away with it so that the next test does not inherit it."""

    def __init__(self, session: str = "") -> None:
        self._checkouts = Checkouts()
        self._sessions = Sessions()
        self._registry = Registry(session) if session else None

    def know(self, session: str) -> None:
        """That `scoped_session` is looked into from now on, where none was named before."""
        if session and self._registry is None:
            self._registry = Registry(session)

    def install(self) -> None:
        """Begins to listen to pools and sessions."""
        self._checkouts.install()
        self._sessions.install()

    def remove(self) -> None:
        """Stops listening."""
        self._checkouts.remove()
        self._sessions.remove()

    def start(self, database: Database) -> None:
        """A test that uses this database begins."""
        self._checkouts.watch(database)
        self._sessions.forget()

    def watch(self, database: Database) -> None:
        """The test uses this one too."""
        self._checkouts.watch(database)

    def leaks(self, *databases: Database) -> list[str]:
        """What the test has left open in these, each with where it came from."""
        found: list[str] = []
        for database in databases:
            found += [f"connection {_describe(out, database)}" for out in self._checkouts.of(database)]
            found += [f"session {told}" for _, told in self._sessions.left(database)]
        if self._registry is not None:
            found += [f"session in {told}" for told in self._registry.left()]
        for database in databases:
            # What is known to be open need not be waited for.
            within = 0 if found else DISCONNECT_DELAY
            found += [f"transaction on the server: {told}" for told in database.open_transactions(within)]
        return found

    def repair(self, database: Database) -> None:
        """Ends on the server what is open there, then closes it here."""
        with contextlib.suppress(Exception):
            database.terminate([open_.session for open_ in database.open_transactions(within=0)])
        for session, _ in self._sessions.left(database):
            with contextlib.suppress(Exception):
                session.invalidate()
        if self._registry is not None:
            self._registry.clear()
        for out in self._checkouts.of(database):
            self._checkouts.give_back(out)
        self._sessions.forget()


def describe(leaks: list[str]) -> str:
    """What was left open in one line, then each in full."""
    kinds = Counter(leak.partition(" ")[0] for leak in leaks)
    summary = ", ".join(f"{count} {kind}{'s' if count > 1 else ''}" for kind, count in kinds.items())
    items = ["\n  ".join(f"- {leak}".splitlines()) for leak in leaks]
    remedy = "Close it, or let the session be removed, before the test ends."
    return "\n".join([f"left open: {summary}", *items, remedy])


def _describe(out: Checkout, database: Database) -> str:
    state = "detached and not closed" if out.detached else "checked out"
    where = database.url.render_as_string(hide_password=True)
    return "\n    ".join([f"to {where} {state}, in {out.thread}, taken at", *stacks.tell(out.place)])
