"""The fixtures for everybody's tests."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from testbed import stash
from testbed.drivers import with_driver
from testbed.failures import fail_for_leaks
from testbed.schema import schema_of
from testbed.subjects import drivers_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from testbed.backend import Backend
    from testbed.databases import Database
    from testbed.servers import Server


@pytest.fixture(scope="session")
def server(backend: Backend, pytestconfig: pytest.Config) -> Server:
    """The server that the tests on this backend share."""
    return stash.run_of(pytestconfig).server(backend)


@pytest.fixture(scope="session")
def database_schema(pytestconfig: pytest.Config) -> Callable[[str], None] | None:
    """What makes the tables in an empty database when called with its URI; they stay, tests' rows do not.

    By default the tables of `--metadata`, or those that `--schema-command` makes. Override it for tables that
    are made otherwise; rows that it inserts are there for every test.
    """
    return schema_of(pytestconfig)


@pytest.fixture
def database(
    request: pytest.FixtureRequest, server: Server, database_schema: Callable[[str], None] | None
) -> Iterator[Database]:
    """A clean database. When the test and all fixtures that use it are done, nothing may be left open."""
    item: pytest.Item = request.node
    run = stash.run_of(request.config)
    item.stash[stash.BEGAN] = time.time(), server
    isolation = run.isolation(server)
    isolation.clean(database_schema, restart_identities=_restarts_identities(item))
    run.probe.start(isolation.database)
    databases = item.stash[stash.DATABASES] = [isolation.database]
    yield isolation.database
    if not (leaks := run.probe.leaks(*databases)):
        return
    if not request.config.getoption("keep_failed"):
        for database in databases:
            run.probe.repair(database)
    fail_for_leaks(item, leaks)


@pytest.fixture
def database_uri(database: Database, pytestconfig: pytest.Config) -> str:
    """The URI, password and all, of a clean database: give it to the application under test."""
    return with_driver(database.uri, drivers_of(pytestconfig))


@pytest.fixture
def other_database(
    request: pytest.FixtureRequest,
    database: Database,  # noqa: ARG001 - it looks for leaks in both, when the test is over
    server: Server,
    database_schema: Callable[[str], None] | None,
) -> Database:
    """A second database on the same server, as clean as `database` and looked after with it."""
    run = stash.run_of(request.config)
    isolation = run.isolation(server, "other")
    isolation.clean(database_schema, restart_identities=_restarts_identities(request.node))
    run.probe.watch(isolation.database)
    request.node.stash[stash.DATABASES].append(isolation.database)
    return isolation.database


@pytest.fixture
def other_database_uri(other_database: Database, pytestconfig: pytest.Config) -> str:
    """The URI of the second one."""
    return with_driver(other_database.uri, drivers_of(pytestconfig))


def _restarts_identities(item: pytest.Item) -> bool:
    return item.get_closest_marker("restart_identities") is not None
