"""A database of the run, with queries for its sessions and transactions."""

from __future__ import annotations

import contextlib
import re
import time
from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.backends.connection import Connection

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.engine import URL

    from flask_sqlalchemy_testbed.backends.base import Backend, OpenTransaction
    from flask_sqlalchemy_testbed.servers.network import Server

# Seconds until a server, on a busy machine too, has noticed that a client has closed its connection.
DISCONNECT_DELAY = 5.0


class Database:
    """A database of this run; its queries use a connection that no engine under test can see."""

    def __init__(self, backend: Backend, url: URL, app_url: URL | None = None) -> None:
        self.backend = backend
        self.url = url
        self.app_url = app_url or url
        """The URL for the app under test, which leads through the pooler of the run, if there is one."""
        self.connection = Connection(url, options=backend.connect_options, setup=backend.session_setup)

    @classmethod
    def on(cls, server: Server, name: str) -> Database:
        """Return the database with this name on a server, whether it exists or not.

        Args:
            server: A server of the run.
            name: The name of a database of the run.
        """
        return cls(server.backend, server.locate(name), server.locate_for_app(name))

    @property
    def uri(self) -> str:
        """Return the URI of the database for the app under test, with the password."""
        return self.app_url.render_as_string(hide_password=False)

    @property
    def name(self) -> str:
        """Return the name of the database, or the path of its file.

        No other database has this name.
        """
        return self.url.database or ""

    def is_named_in(self, text: str) -> bool:
        """Return whether a connection string names this database.

        The name of another database that only begins the same does not count, nor does that of a file which
        adds an ending to it.

        Args:
            text: The connection string, as a URL or in the format of a driver.
        """
        return re.search(rf"{re.escape(self.name)}(?![\w/.])", text) is not None

    def open_transactions(self, within: float = DISCONNECT_DELAY) -> list[OpenTransaction]:
        """Return the transactions that are still open on the server after `within` seconds.

        It returns at once if there is none.

        Args:
            within: The time in seconds that the server has to notice the end of a transaction.
        """
        return self._wait_for_none(self._transactions, within)

    def left_open(self, within: float = DISCONNECT_DELAY) -> list[OpenTransaction]:
        """Return the transactions and locks that are left after a test.

        Call it only when all should have ended: SQLite shows its readers only to a writer.

        Args:
            within: The time in seconds that the server has to notice the end of a transaction.
        """
        return self._wait_for_none(self._transactions_and_locks, within)

    def _transactions(self) -> list[OpenTransaction]:
        found = self.backend.transactions(self.connection)
        return [each for each in found if each.kind == "transaction"]

    def _transactions_and_locks(self) -> list[OpenTransaction]:
        return self.backend.transactions(self.connection) or self.backend.readers(self.connection)

    @staticmethod
    def _wait_for_none(query: Callable[[], list[OpenTransaction]], within: float) -> list[OpenTransaction]:
        deadline = time.monotonic() + within
        while (found := query()) and time.monotonic() < deadline:
            time.sleep(0.005)
        return found

    def sessions(self) -> list[str]:
        """Return the server's sessions in this database, except for the harness's own."""
        query = self.backend.sessions.replace("{database}", self.name)
        return [str(session) for (session,) in self.connection.rows(query)]

    def terminate(self, sessions: list[str]) -> None:
        """Terminate sessions on the server, which rolls back their transactions.

        Args:
            sessions: The server's ids of the sessions; ended sessions are ignored.
        """
        for session in sessions:
            with contextlib.suppress(Exception):
                self.connection.rows(self.backend.terminate.replace("{session}", session))

    def end(self, found: list[OpenTransaction]) -> None:
        """End transactions and locks on the server, most of them by terminating their sessions.

        Args:
            found: The result of `left_open`; those that have ended are ignored.
        """
        for each in found:
            if each.end:
                with contextlib.suppress(Exception):
                    self.connection.rows(each.end)
        self.terminate([each.session for each in found if not each.end])
