"""One database that a run made for itself, and what can be asked of its server about it."""

from __future__ import annotations

import contextlib
import re
import time
from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.backends.connection import Connection

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

    from flask_sqlalchemy_testbed.backends.base import Backend, OpenTransaction

# A server notices that a client has closed its connection a moment after the client has.
NOTICE = 1.0


class Database:
    """A database of this run. What it asks, it asks over a connection that no engine under test can see."""

    def __init__(self, backend: Backend, url: URL) -> None:
        self.backend = backend
        self.url = url
        self.connection = Connection(url, options=backend.connect_options, setup=backend.patience)

    @property
    def uri(self) -> str:
        """The URI with its password, for the application."""
        return self.url.render_as_string(hide_password=False)

    @property
    def name(self) -> str:
        """Unlike anything else: what an engine was told to connect to holds it when it was this database."""
        return self.url.database or ""

    def is_named_in(self, text: str) -> bool:
        """Whether a text that says where to connect means this database, not one whose name begins alike."""
        return re.search(rf"{re.escape(self.name)}(?![\w/])", text) is not None

    def open_transactions(self, within: float = NOTICE) -> list[OpenTransaction]:
        """The transactions that stay open on the server for so many seconds; at once when there is none."""
        deadline = time.monotonic() + within
        while (found := self.backend.transactions(self.connection)) and time.monotonic() < deadline:
            time.sleep(0.005)
        return found

    def sessions(self) -> list[str]:
        """The server's sessions in this database, but for the harness's own."""
        question = self.backend.sessions.replace("{database}", self.name)
        return [str(session) for (session,) in self.connection.rows(question)]

    def terminate(self, sessions: list[str]) -> None:
        """Ends these sessions on the server, which rolls back what they did; one that is gone is no error."""
        for session in sessions:
            with contextlib.suppress(Exception):
                self.connection.rows(self.backend.terminate.replace("{session}", session))
