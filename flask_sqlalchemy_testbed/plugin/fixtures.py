"""The fixtures for everybody's tests."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from flask_sqlalchemy_testbed.plugin import settings, state
from flask_sqlalchemy_testbed.plugin.failures import fail_for_leaks
from flask_sqlalchemy_testbed.plugin.schema import schema_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flask_sqlalchemy_testbed.backends.base import Backend
    from flask_sqlalchemy_testbed.databases import Database
    from flask_sqlalchemy_testbed.servers.network import Server


@pytest.fixture(scope="session")
def testbed_server(testbed_backend: Backend, pytestconfig: pytest.Config) -> Server:
    """The server that the tests on this backend share."""
    return state.run_of(pytestconfig).server(testbed_backend)


@pytest.fixture(scope="session")
def testbed_schema(pytestconfig: pytest.Config) -> Callable[[str], None] | None:
    """What makes the tables in an empty database when called with its URI; they stay, tests' rows do not.

    By default it creates the tables of `--testbed-metadata`, or runs `--testbed-schema-command`. Override it
    to create tables in another way; rows that it inserts are there for every test.
    """
    return schema_of(pytestconfig)


@pytest.fixture
def testbed_database(
    request: pytest.FixtureRequest, testbed_server: Server, testbed_schema: Callable[[str], None] | None
) -> Iterator[Database]:
    """A clean database. When the test and all fixtures that use it are done, nothing may be left open."""
    item: pytest.Item = request.node
    run = state.run_of(request.config)
    item.stash[state.BEGAN] = time.time(), testbed_server
    isolation = run.isolation(testbed_server)
    isolation.clean(testbed_schema, restart_identities=_restarts_identities(item))
    run.probe.start(isolation.database)
    databases = item.stash[state.DATABASES] = [isolation.database]
    yield isolation.database
    if not (leaks := run.probe.leaks(*databases)):
        return
    if not settings.given(request.config, "keep-failed"):
        for database in databases:
            run.probe.repair(database)
    fail_for_leaks(item, leaks)


@pytest.fixture
def database_uri(testbed_database: Database) -> str:
    """The URI, password and all, of a clean database: give it to the application under test."""
    return testbed_database.uri


@pytest.fixture
def testbed_other_database(
    request: pytest.FixtureRequest,
    testbed_database: Database,  # noqa: ARG001 - it looks for leaks in both, when the test is over
    testbed_server: Server,
    testbed_schema: Callable[[str], None] | None,
) -> Database:
    """A second database on the same server, as clean as `database` and looked after with it."""
    run = state.run_of(request.config)
    isolation = run.isolation(testbed_server, "other")
    isolation.clean(testbed_schema, restart_identities=_restarts_identities(request.node))
    run.probe.track(isolation.database)
    request.node.stash[state.DATABASES].append(isolation.database)
    return isolation.database


@pytest.fixture
def other_database_uri(testbed_other_database: Database) -> str:
    """The URI of the second one."""
    return testbed_other_database.uri


def _restarts_identities(item: pytest.Item) -> bool:
    return item.get_closest_marker("testbed_restart_identities") is not None
