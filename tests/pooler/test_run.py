"""The harness reaches the server itself, while the app goes through the pooler."""

from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from flask_sqlalchemy_testbed.backends.base import Backend
from flask_sqlalchemy_testbed.databases import Database
from flask_sqlalchemy_testbed.plugin import settings, state
from flask_sqlalchemy_testbed.run import Run
from flask_sqlalchemy_testbed.servers.network import NetworkServer
from tests.harness.projects import Project

pytestmark = pytest.mark.testbed_needs("pooled")

TESTS = """
    import pytest
    from sqlalchemy import create_engine

    kept = []

    @pytest.mark.parametrize("number", range(4))
    def test_leaves_a_transaction(testbed_database, number):
        assert testbed_database.app_url.port != testbed_database.url.port
        kept.append(create_engine(testbed_database.uri).connect())
        kept[-1].exec_driver_sql("SELECT 1")
"""


@pytest.fixture
def project(tmp_path: Path, testbed_backend: Backend, pytestconfig: pytest.Config) -> Project:
    project = Project(tmp_path, {}, [testbed_backend.name])
    project.write(TESTS)
    project.environment["PYTEST_ADDOPTS"] = f"--testbed-pooler {settings.setting(pytestconfig, 'pooler')}"
    return project


def test_the_clients_of_the_pooler_share_the_sessions_of_the_server(testbed_database: Database) -> None:
    engine = create_engine(testbed_database.uri)
    with engine.connect() as first:
        pid = first.scalar(text("SELECT pg_backend_pid()"))
    engine.dispose()
    with engine.connect() as second:
        assert second.scalar(text("SELECT pg_backend_pid()")) == pid
    engine.dispose()

    assert testbed_database.sessions() == [str(pid)]


def test_what_a_test_has_set_on_a_session_reaches_no_later_test(
    testbed_server: NetworkServer, pytestconfig: pytest.Config
) -> None:
    isolation = state.run_of(pytestconfig).isolation(testbed_server, "renewed")
    isolation.clean()
    engine = create_engine(isolation.database.uri)
    with engine.begin() as connection:
        connection.execute(text("SET work_mem = '77kB'"))
    engine.dispose()

    isolation.clean()

    with engine.connect() as connection:
        assert connection.scalar(text("SHOW work_mem")) == "4MB"
    engine.dispose()


@pytest.mark.parametrize("options", [("-n", "0"), ("-n", "2")])
def test_an_open_transaction_is_found_behind_the_pooler(project: Project, options: tuple[str, ...]) -> None:
    outcome = project.run(*options)

    assert outcome.code == pytest.ExitCode.TESTS_FAILED
    assert outcome.text.count("left open: 1 connection, 1 transaction") == 4
    assert outcome.text.count("transaction on the server: session") == 4


def test_a_missing_image_of_the_pooler_is_one_sentence(project: Project) -> None:
    outcome = project.run(PGBOUNCER_IMAGE="testbed-nothing:1")

    assert outcome.code == pytest.ExitCode.USAGE_ERROR
    (line,) = outcome.lines("ERROR")
    assert line.startswith(
        "ERROR: No server for postgresql: the image testbed-nothing:1 is not here and cannot"
    )
    assert line.endswith(". Make it as docs/pooler.md says, or leave out --testbed-pooler.")


def test_the_log_of_the_pooler_follows_that_of_the_server(
    testbed_server: NetworkServer, testbed_database: Database
) -> None:
    engine = create_engine(testbed_database.uri, connect_args={"options": "-c geqo=off"})
    with pytest.raises(OperationalError):
        engine.connect()

    assert "unsupported startup parameter in options: geqo" in testbed_server.log(0)


def test_the_header_names_the_pooler(project: Project) -> None:
    (line,) = project.run().lines("postgresql: ")

    assert ", behind pgbouncer:1.26, throwaway container " in line


def test_a_server_behind_the_pooler_does_not_linger(
    testbed_backend: Backend, pytestconfig: pytest.Config
) -> None:
    run = Run(pooler=settings.setting(pytestconfig, "pooler"), linger=60)
    try:
        server = run.server(testbed_backend)
        assert isinstance(server, NetworkServer)
        assert server.container is not None
        assert not server.container.lingers
    finally:
        run.close()
