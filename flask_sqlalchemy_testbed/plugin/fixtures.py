"""The fixtures for users' tests."""

from __future__ import annotations

import os
import time
from pathlib import Path
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
    """Return the server that all tests on this backend share."""
    server = state.run_of(pytestconfig).server(testbed_backend)
    state.describe_new_servers(pytestconfig)
    return server


@pytest.fixture(scope="session")
def testbed_schema(pytestconfig: pytest.Config) -> Callable[[str], None] | None:
    """Return a function that creates tables in the database of a URI; None creates none.

    By default it creates the tables of `--testbed-metadata` or runs `--testbed-schema-command`. Override this
    fixture to create tables in another way. The tables stay from test to test, as do rows that the function
    inserts; the rows of a test are deleted before the next test.
    """
    return schema_of(pytestconfig)


@pytest.fixture
def testbed_database(
    request: pytest.FixtureRequest, testbed_server: Server, testbed_schema: Callable[[str], None] | None
) -> Iterator[Database]:
    """Yield a clean database. The test fails if it leaves a connection or transaction open."""
    item: pytest.Item = request.node
    run = state.run_of(request.config)
    _leave_deleted_directory(request.config)
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
    """Return the URI of a clean database, with its password, for the application under test."""
    return testbed_database.uri


@pytest.fixture
def testbed_other_database(
    request: pytest.FixtureRequest,
    testbed_database: Database,  # noqa: ARG001 - its teardown looks for leaks in both
    testbed_server: Server,
    testbed_schema: Callable[[str], None] | None,
) -> Database:
    """Return a second clean database on the same server.

    It is checked for leaks too.
    """
    run = state.run_of(request.config)
    isolation = run.isolation(testbed_server, "other")
    isolation.clean(testbed_schema, restart_identities=_restarts_identities(request.node))
    run.probe.track(isolation.database)
    request.node.stash[state.DATABASES].append(isolation.database)
    return isolation.database


@pytest.fixture
def other_database_uri(testbed_other_database: Database) -> str:
    """Return the URI of the second database."""
    return testbed_other_database.uri


def _leave_deleted_directory(config: pytest.Config) -> None:
    """Return to the first directory of pytest if a test has deleted the current one.

    No command starts in a deleted directory.
    """
    try:
        Path.cwd()
    except FileNotFoundError:
        os.chdir(config.invocation_params.dir)


def _restarts_identities(item: pytest.Item) -> bool:
    return item.get_closest_marker("testbed_restart_identities") is not None
