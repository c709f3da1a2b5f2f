"""The fixtures of the checks."""

import gc
from collections.abc import Callable, Iterator

import pytest

from flask_sqlalchemy_testbed.backends.connection import Connection
from flask_sqlalchemy_testbed.battery.observer import observer
from flask_sqlalchemy_testbed.battery.own_pair import own_pair, pair_trial
from flask_sqlalchemy_testbed.battery.own_server import OwnServer, own_server, own_servers
from flask_sqlalchemy_testbed.battery.preflight import Preflight, try_app
from flask_sqlalchemy_testbed.battery.trial import Trial
from flask_sqlalchemy_testbed.databases import Database
from flask_sqlalchemy_testbed.servers.network import Server

__all__ = [
    "connect",
    "own_pair",
    "own_server",
    "own_servers",
    "own_trial",
    "pair_trial",
    "preflight",
    "testbed_schema",
    "trial",
]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Exclude present objects from garbage collection, so that some checks are faster."""
    gc.freeze()
    if session.items and not session.config.option.collectonly:
        observer()  # It starts while the servers do.


@pytest.fixture(scope="session")
def preflight(request: pytest.FixtureRequest, testbed_server: Server) -> Preflight:  # noqa: ARG001 - one for each
    """Return the findings about the app on one backend, made before the first check there."""
    return try_app(request)


@pytest.fixture(scope="session")
def testbed_schema(preflight: Preflight) -> Callable[[str], None]:
    """Return the function that creates the battery's tables, and those of the app."""
    return preflight.schema


@pytest.fixture
def trial(request: pytest.FixtureRequest, testbed_database: Database) -> Iterator[Trial]:
    """Return the app under test on a clean database."""
    trial = Trial(request, testbed_database)
    yield trial
    trial.end()


@pytest.fixture
def own_trial(request: pytest.FixtureRequest, own_server: OwnServer) -> Iterator[Trial]:
    """Return the app under test on a server that only the check uses."""
    trial = Trial(request, own_server.database)
    yield trial
    trial.end()


@pytest.fixture
def connect(testbed_database: Database) -> Iterator[Callable[[], Connection]]:
    """Return a function that opens connections in autocommit mode, without the app under test."""
    opened: list[Connection] = []

    def open_one() -> Connection:
        opened.append(Connection(testbed_database.url, options=testbed_database.backend.connect_options))
        return opened[-1]

    yield open_one
    for connection in opened:
        connection.close()
