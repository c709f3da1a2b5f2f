"""Given servers of the wrong kind, and accounts that lack a privilege."""

import re
import subprocess
from pathlib import Path

import pytest

from flask_sqlalchemy_testbed.backends import BACKENDS
from flask_sqlalchemy_testbed.backends.base import Backend
from flask_sqlalchemy_testbed.plugin import state
from flask_sqlalchemy_testbed.servers.given import variable
from flask_sqlalchemy_testbed.servers.network import NetworkServer
from flask_sqlalchemy_testbed.servers.readiness import wait_until_ready
from tests.harness.projects import Project

pytestmark = pytest.mark.bad_day

ROOT = Path(__file__).parents[3]
SERVERS = [backend.name for backend in BACKENDS.values() if backend.recipe]
# Two databases, a table, a write, and the questions about sessions and transactions.
USES_EVERYTHING = """
    import pytest
    from sqlalchemy import create_engine, text

    @pytest.mark.parametrize("which", range(2))
    @pytest.mark.testbed_restart_identities
    def test_it(testbed_database, testbed_other_database, which):
        engine = create_engine(testbed_database.uri)
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE t (x INTEGER)"))
            connection.execute(text("INSERT INTO t VALUES (1)"))
        engine.dispose()
        assert testbed_database.connection.rows(testbed_database.backend.activity) is not None
        assert testbed_database.connection.rows(testbed_database.backend.settings)
"""


@pytest.mark.testbed_needs("server")
def test_a_server_of_the_wrong_kind_is_recognized(
    project: Project, testbed_server: NetworkServer, testbed_backend: Backend
) -> None:
    for other in SERVERS:
        if other == testbed_backend.name:
            continue
        project.backends = [other]
        given = testbed_server.url.set(drivername=BACKENDS[other].drivername)
        outcome = project.run(**{variable(BACKENDS[other]): given.render_as_string(hide_password=False)})

        assert outcome.code == pytest.ExitCode.USAGE_ERROR
        (line,) = outcome.lines("ERROR")
        assert line == (
            f"ERROR: {other} ({variable(BACKENDS[other])}) cannot be used:"
            f" a {testbed_backend.name} server answers at {given.host}:{given.port}. Name another address."
        )


@pytest.mark.parametrize("kind", SERVERS)
def test_a_host_that_does_not_exist_is_named(project: Project, kind: str) -> None:
    project.backends = [kind]
    outcome = project.run(**{variable(BACKENDS[kind]): f"{kind}://ada:s3cr3t@nowhere.invalid/db"})

    (line,) = outcome.lines("ERROR")
    assert line == (
        f"ERROR: {kind} ({variable(BACKENDS[kind])}) cannot be used: the host nowhere.invalid has no address."
        " Correct its name."
    )
    assert outcome.code == pytest.ExitCode.USAGE_ERROR


# By the name of the backend: the administrator's client in the container, how a user is made, and a database
# that every user may log in to.
ADMINISTRATOR = {
    "postgresql": ("psql", "--username", "postgres", "--command"),
    "mysql": ("mysql", "--user", "root", "--execute"),
    "mariadb": ("mariadb", "--socket=/run/mysqld/mysqld.sock", "--skip-ssl", "--user", "root", "--execute"),
}
NEW_USER = {
    "postgresql": "CREATE ROLE ada LOGIN PASSWORD 's3cr3t'",
    "mysql": "CREATE USER 'ada'@'%' IDENTIFIED BY 's3cr3t'",
}
WORD = {"postgresql": "ALTER", "mysql": "GRANT"}
OPEN_DATABASE = {"postgresql": "testbed", "mysql": "information_schema"}
DOCUMENTED = re.compile(r"^(?:ALTER ROLE|GRANT) .*(?=;$)", re.MULTILINE)


@pytest.mark.testbed_needs("container")
def test_messages_name_each_missing_privilege_and_no_more_than_the_documentation(
    project: Project, testbed_backend: Backend, pytestconfig: pytest.Config
) -> None:
    kind = testbed_backend.name
    container = state.run_of(pytestconfig).start_container(testbed_backend)

    def administer(statement: str) -> None:
        words = ["docker", "exec", container.id, *testbed_backend.of(ADMINISTRATOR), statement]
        subprocess.run(words, check=True, capture_output=True, timeout=60)

    try:
        url = container.url()
        wait_until_ready(testbed_backend, url, where="here", within=60, container=container)
        administer(testbed_backend.of(NEW_USER))
        project.backends = [kind]
        project.write(USES_EVERYTHING)
        ada = url.set(username="ada", password="s3cr3t", database=testbed_backend.of(OPEN_DATABASE))
        given = {variable(testbed_backend): ada.render_as_string(hide_password=False)}
        granted: list[str] = []
        while (outcome := project.run(**given)).code == pytest.ExitCode.USAGE_ERROR:
            (line,) = outcome.lines(f"ERROR: {kind} ({variable(testbed_backend)}) cannot be used: ")
            (statement,) = re.findall(r"(?:administrator:|; run) (.+)[.;]$", line)
            assert statement not in granted
            granted.append(statement)
            administer(statement)
    finally:
        container.remove()

    assert outcome.code == pytest.ExitCode.OK, outcome.text
    documented = DOCUMENTED.findall((ROOT / "docs" / "servers.md").read_text())
    of_this_kind = [one for one in documented if one.startswith(testbed_backend.of(WORD))]
    assert sorted(one.replace("'ada'@'%'", "you").replace(" ada ", " you ") for one in granted) == sorted(
        of_this_kind
    )
