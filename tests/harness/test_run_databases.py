"""On a server that is given, a run leaves what it found, and finds what a killed run left."""

from __future__ import annotations

import contextlib
import secrets
from typing import TYPE_CHECKING

import pytest

from flask_sqlalchemy_testbed.backends.connection import Connection
from flask_sqlalchemy_testbed.servers.given import variable
from flask_sqlalchemy_testbed.servers.network import NetworkServer
from tests.harness.projects import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flask_sqlalchemy_testbed.backends.base import Backend
    from tests.harness.projects import Project


pytestmark = pytest.mark.testbed_needs("server")

WAITING = """
    import time
    from pathlib import Path
    from sqlalchemy import create_engine, text

    def test_it(database_uri):
        engine = create_engine(database_uri)
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE t (x INTEGER)"))
        engine.dispose()
        Path("part").write_text(engine.url.database)
        Path("part").rename("database")
        time.sleep(60)
"""


@pytest.fixture
def given(testbed_backend: Backend, testbed_server: NetworkServer) -> Iterator[NetworkServer]:
    """This run's server, as another run sees it that is given its URI."""
    other = NetworkServer(testbed_backend, testbed_server.url, source="given")
    yield other
    other.close()


@pytest.fixture
def names(given: NetworkServer) -> Iterator[Callable[[], set[str]]]:
    """Which databases there are."""
    connection = Connection(given.url, options=given.backend.connect_options)

    def names() -> set[str]:
        return {name for (name,) in connection.rows(given.backend.databases)}

    yield names
    connection.close()


def fresh_name() -> str:
    return f"testbed_{secrets.token_hex(6)}"


def test_a_database_in_use_is_not_stale(given: NetworkServer, testbed_server: NetworkServer) -> None:
    name = fresh_name()
    given.create(name)

    assert name not in testbed_server.sweep()
    given.drop(name)


def test_a_database_whose_run_is_over_is_dropped_by_the_next(
    given: NetworkServer, testbed_server: NetworkServer, names: Callable[[], set[str]]
) -> None:
    name = fresh_name()
    NetworkServer(testbed_server.backend, testbed_server.url, source="killed").create(
        name
    )  # dropped with its connection, unclosed

    def is_swept() -> bool:  # Another run may have been quicker.
        testbed_server.sweep()
        return name not in names()

    eventually(is_swept)  # the server takes a moment to let go of the lock
    assert name not in given.sweep()


def test_a_kept_database_is_passed_by(
    given: NetworkServer, testbed_server: NetworkServer, names: Callable[[], set[str]]
) -> None:
    name = fresh_name()
    with contextlib.closing(
        NetworkServer(testbed_server.backend, testbed_server.url, source="keeps")
    ) as keeps:
        keeps.create(name)
        keeps.keep(name)

    assert name not in given.sweep()
    assert name in names()
    given.drop(name)


@pytest.mark.parametrize(
    "name", ["testbed_production", "testbed_0123456789", "testbed_0123456789ab_", "testbed_0123456789abc"]
)
def test_a_database_of_somebody_else_is_never_touched(
    given: NetworkServer, names: Callable[[], set[str]], name: str
) -> None:
    connection = Connection(given.url, options=given.backend.connect_options)
    connection.run([statement.replace("{database}", name) for statement in given.backend.create])
    try:
        assert name not in given.sweep()
        assert name in names()
    finally:
        given.drop(name)
        connection.close()


def test_a_run_leaves_no_database_and_removes_those_of_a_killed_one(
    project: Project, given: NetworkServer, names: Callable[[], set[str]]
) -> None:
    uri = given.url.render_as_string(hide_password=False)
    project.backends, project.environment = [given.backend.name], {variable(given.backend): uri}
    project.write(WAITING)
    with project.start() as process:
        killed = eventually(lambda: written(project))
        process.kill()
    project.write(WAITING.replace("time.sleep(60)", ""))

    # The server takes a moment to notice that the connection is gone, and the lock with it.
    eventually(lambda: project.run().code == 0 and killed not in names())
    assert written(project) not in names()


def written(project: Project) -> str:
    path = project.path / "database"
    return path.read_text() if path.exists() else ""
