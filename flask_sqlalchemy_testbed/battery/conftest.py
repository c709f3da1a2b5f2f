"""What the checks share: the subject on a clean database, and questions to the server about it."""

from __future__ import annotations

import gc
import time
from contextvars import Context
from typing import TYPE_CHECKING, Any

import pytest

from flask_sqlalchemy_testbed.backends.connection import Connection
from flask_sqlalchemy_testbed.battery import tables
from flask_sqlalchemy_testbed.battery.own_server import own_server, own_servers
from flask_sqlalchemy_testbed.databases import DISCONNECT_DELAY
from flask_sqlalchemy_testbed.leaks.probe import describe
from flask_sqlalchemy_testbed.plugin import state
from flask_sqlalchemy_testbed.plugin.app_option import app_maker
from flask_sqlalchemy_testbed.subject.binding import engine_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flask import Flask
    from sqlalchemy.engine import Engine

    from flask_sqlalchemy_testbed.battery.own_server import OwnServer
    from flask_sqlalchemy_testbed.databases import Database

__all__ = ["connect", "own_server", "own_servers", "own_trial", "testbed_schema", "trial"]


def pytest_collection_finish() -> None:
    """What is there by now stays: the collections that some checks ask for need not look at it again."""
    gc.freeze()


@pytest.fixture(scope="session")
def testbed_schema() -> Callable[[str], None]:
    """The battery's own tables are there; no table of the app is."""
    return tables.create_all


class Trial:
    """The subject in one check: apps on the check's databases, and what they have left open there."""

    def __init__(self, request: pytest.FixtureRequest, database: Database) -> None:
        self._request = request
        self._probe = state.run_of(request.config).probe
        self._databases = [database]
        self._apps: list[Flask] = []
        self._maker = app_maker(request.config)
        self._maker.start(database.uri)
        self.subject = self._maker.subject
        self._probe.look_into("" if self.subject.session_is_callable else self.subject.session_path)
        self.database = database

    @property
    def other(self) -> Database:
        """A second database on the same server, as clean and as closely watched."""
        if len(self._databases) == 1:
            self._databases.append(self._request.getfixturevalue("testbed_other_database"))
        return self._databases[1]

    @property
    def session(self) -> Any:
        """The subject's session, looked up anew at each use."""
        return self.subject.session

    def app(self, uri: str | None = None, *, keep: bool = True) -> Flask:
        """Make an app on the check's database, or on that of `uri`; nothing is sent to any other.

        It is let go of when the check ends, unless the check keeps it itself.
        """
        app = self._maker.make(uri or self.database.uri)
        # Errors are answers here, whatever the subject's configuration says.
        app.testing = app.debug = False
        app.config["PROPAGATE_EXCEPTIONS"] = False
        if keep:
            self._apps.append(app)
        return app

    def engine(self, app: Flask) -> Engine:
        """The engine that the session is bound to inside `app`."""
        return engine_of(self.subject, app)

    def rebind(self, app: Flask, uri: str) -> Engine:
        """Give `app` another engine, with the `init_engine` beside the session."""
        return self.subject.beside_session("init_engine")(uri, app=app)  # type: ignore[no-any-return]

    def left_open(self) -> list[str]:
        """What is checked out, in use, or open on the server now: nothing, when every context has ended."""
        # Outside any context that is pushed: to look at a session that is kept in one would make it.
        return Context().run(self._probe.leaks, *self._databases)

    def assert_nothing_open(self, after: str = "") -> None:
        """Fails the check, in the words of the harness, unless every context has ended well."""
        __tracebackhide__ = True
        if leaks := self.left_open():
            pytest.fail(f"{after}: {describe(leaks)}" if after else describe(leaks))

    def sessions_come_down_to(self, number: int) -> bool:
        """Whether the server has no more sessions in the database than that, as soon as it has noticed."""
        deadline = time.monotonic() + DISCONNECT_DELAY
        while (found := len(self.database.sessions())) > number and time.monotonic() < deadline:
            time.sleep(0.005)
        return found <= number

    def names(self, database: Database | None = None) -> list[str]:
        """The committed items, asked of the server over a connection that the subject knows nothing of."""
        rows = (database or self.database).connection.rows("SELECT name FROM testbed_item ORDER BY id")
        return [name for (name,) in rows]

    def end(self) -> None:
        """Let go of the apps, as a process that ends would."""
        for app in self._apps:
            self.engine(app).dispose()
        self._apps.clear()


@pytest.fixture
def trial(request: pytest.FixtureRequest, testbed_database: Database) -> Iterator[Trial]:
    """The subject, on a clean database."""
    trial = Trial(request, testbed_database)
    yield trial
    trial.end()


@pytest.fixture
def own_trial(request: pytest.FixtureRequest, own_server: OwnServer) -> Iterator[Trial]:
    """The subject, on a server of the check's own."""
    trial = Trial(request, own_server.database)
    yield trial
    trial.end()


@pytest.fixture
def connect(testbed_database: Database) -> Iterator[Callable[[], Connection]]:
    """Opens connections of the check's own, in autocommit: they show what the backend does by itself."""
    opened: list[Connection] = []

    def open_one() -> Connection:
        opened.append(Connection(testbed_database.url, options=testbed_database.backend.connect_options))
        return opened[-1]

    yield open_one
    for connection in opened:
        connection.close()
