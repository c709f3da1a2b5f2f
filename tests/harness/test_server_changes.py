"""A test that changes what all databases of a server share fails, and the change is undone."""

import secrets
from collections.abc import Iterator

import pytest
from sqlalchemy import create_engine

from flask_sqlalchemy_testbed.backends.base import Backend
from flask_sqlalchemy_testbed.databases import Database
from flask_sqlalchemy_testbed.leaks.probe import Probe
from flask_sqlalchemy_testbed.plugin import state
from flask_sqlalchemy_testbed.servers import images
from flask_sqlalchemy_testbed.servers.network import NetworkServer
from flask_sqlalchemy_testbed.servers.readiness import wait_until_ready
from tests.harness.kinds import KEPT, SHARED
from tests.harness.test_leaks import execute, shown

pytestmark = pytest.mark.testbed_needs("container")
WITHIN = 60.0
FLAGS = {
    "postgresql": ("-c", "wal_level=logical", "-c", "max_wal_senders=1", "-c", "max_replication_slots=2"),
    "mysql": (),
}
# In the container the administrator needs no password.
PROMOTE = {
    "postgresql": "psql -h /var/run/postgresql -c 'ALTER ROLE testbed SUPERUSER'",
    "mysql": "mysql -u root -S /var/run/mysqld/mysqld.sock -e"
    ' "GRANT ALL ON *.* TO testbed WITH GRANT OPTION"',
    "mariadb": "mariadb --skip-ssl -u root -S /run/mysqld/mysqld.sock -e"
    ' "GRANT ALL ON *.* TO testbed WITH GRANT OPTION"',
}


@pytest.fixture
def database(testbed_backend: Backend, pytestconfig: pytest.Config) -> Iterator[Database]:
    """Yield a database on a server of its own, whose user is an administrator."""
    container = state.run_of(pytestconfig).start_container(testbed_backend, flags=testbed_backend.of(FLAGS))
    try:
        wait_until_ready(
            testbed_backend, container.url(), where=container.source, within=WITHIN, container=container
        )
        docker = images.connect(testbed_backend).containers.get(container.id)
        assert docker.exec_run(testbed_backend.of(PROMOTE)).exit_code == 0
        server = NetworkServer(testbed_backend, container.url(), source=container.source)
        name = f"testbed_{secrets.token_hex(6)}"
        server.create(name)
        yield Database(testbed_backend, server.locate(name))
        server.disconnect()
    finally:
        container.remove()


def test_a_change_is_found_and_undone(database: Database) -> None:
    engine = create_engine(database.uri)
    execute(engine, [*database.backend.of(KEPT), "CREATE TABLE things (id INTEGER)"])
    probe = Probe()
    probe.install()
    wrong = {}
    for kind in database.backend.of(SHARED):
        before = shown(engine, kind.query)
        probe.start(database)
        execute(engine, [each.format(database=database.name) for each in kind.statements])
        assert shown(engine, kind.query) != before, kind.name
        found = probe.leaks(database)
        probe.repair(database)
        expected = f"change of the server: {kind.name.format(database=database.name)}"
        if expected not in found or shown(engine, kind.query) != before or probe.leaks(database):
            wrong[kind.name] = found, probe.leaks(database)

    probe.remove()
    engine.dispose()
    assert wrong == {}
