"""On a given server, a run drops its own databases and those of killed runs, and no others."""

import contextlib
import secrets
from collections.abc import Callable, Iterator

import pytest

from flask_sqlalchemy_testbed.backends.base import Backend
from flask_sqlalchemy_testbed.backends.connection import Connection
from flask_sqlalchemy_testbed.servers.given import variable
from flask_sqlalchemy_testbed.servers.network import NetworkServer
from tests.harness.projects import Project, eventually
from tests.harness.test_ends import read

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
        Path("ready").write_text(engine.url.database)
        time.sleep(60)
"""


@pytest.fixture
def given(testbed_backend: Backend, testbed_server: NetworkServer) -> Iterator[NetworkServer]:
    """Return this run's server, as a given server of another run."""
    with contextlib.closing(
        NetworkServer(testbed_backend, testbed_server.url, source="another run")
    ) as server:
        yield server


@pytest.fixture
def connection(given: NetworkServer) -> Iterator[Connection]:
    with contextlib.closing(Connection(given.url, options=given.backend.connect_options)) as connection:
        yield connection


@pytest.fixture
def names(given: NetworkServer, connection: Connection) -> Callable[[], set[str]]:
    """Return a function that returns the names of all databases."""
    return lambda: {name for (name,) in connection.rows(given.backend.databases)}


def fresh_name() -> str:
    return f"testbed_{secrets.token_hex(6)}"


def test_a_database_in_use_is_not_dropped(given: NetworkServer, testbed_server: NetworkServer) -> None:
    name = fresh_name()
    given.create(name)

    assert name not in testbed_server.sweep()
    given.drop(name)


def test_a_kept_database_is_not_dropped(given: NetworkServer, names: Callable[[], set[str]]) -> None:
    name = fresh_name()
    keeper = NetworkServer(given.backend, given.url, source="another run")
    keeper.create(name)
    keeper.keep(name)
    keeper.close()

    assert name not in given.sweep()
    assert name in names()
    given.drop(name)


@pytest.mark.parametrize(
    "name", ["testbed_production", "testbed_0123456789", "testbed_0123456789ab_", "testbed_0123456789abc"]
)
def test_a_database_with_another_name_is_never_dropped(
    given: NetworkServer, connection: Connection, names: Callable[[], set[str]], name: str
) -> None:
    connection.run([statement.replace("{database}", name) for statement in given.backend.create])
    try:
        assert name not in given.sweep()
        assert name in names()
    finally:
        given.drop(name)


def test_a_run_drops_its_databases_and_those_of_a_killed_run(
    project: Project, given: NetworkServer, names: Callable[[], set[str]]
) -> None:
    uri = given.url.render_as_string(hide_password=False)
    project.backends, project.environment = [given.backend.name], {variable(given.backend): uri}
    project.write(WAITING)
    with project.start() as process:
        killed = eventually(lambda: read(project.path / "ready"))
        process.kill()
    project.write(WAITING.replace("time.sleep(60)", ""))

    # The server takes a moment to notice that the connection is gone, and to release the lock.
    eventually(lambda: project.run().code == 0 and killed not in names())
    assert read(project.path / "ready") not in names()
