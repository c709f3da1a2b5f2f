"""The option --testbed-pooler, where it cannot be used."""

import pytest

from tests.harness.projects import Project

TEST = """
    def test_it(testbed_database):
        pass
"""


def error_of(project: Project, *options: str, **environment: str) -> str:
    project.write(TEST)
    outcome = project.run(*options, **environment)

    assert outcome.code == pytest.ExitCode.USAGE_ERROR
    (line,) = outcome.lines("ERROR")
    return line


def test_an_unknown_pooler_is_one_sentence(project: Project) -> None:
    assert error_of(project, "--testbed-pooler", "odyssey") == (
        "ERROR: Unknown pooler 'odyssey'. Choose from: pgbouncer."
    )


def test_a_pooler_needs_a_backend_that_has_it(project: Project) -> None:
    assert error_of(project, "--testbed-pooler", "pgbouncer") == (
        "ERROR: pgbouncer is a pooler for postgresql alone. Add --testbed-backend postgresql."
    )


def test_a_pooler_is_not_put_before_a_given_server(project: Project) -> None:
    project.backends = ["postgresql"]
    given = {"TESTBED_POSTGRESQL_URI": "postgresql://ada:s3cr3t@nowhere.invalid/db"}

    assert error_of(project, "--testbed-pooler", "pgbouncer", **given) == (
        "ERROR: postgresql: pgbouncer can be put before a throwaway server alone."
        " Unset TESTBED_POSTGRESQL_URI, or leave out --testbed-pooler."
    )


def test_without_an_engine_a_pooler_is_one_sentence(project: Project) -> None:
    project.backends = ["postgresql"]

    line = error_of(project, "--testbed-pooler", "pgbouncer", DOCKER_HOST="unix:///nowhere.sock")
    assert line.startswith(
        "ERROR: No server for postgresql: no Docker engine answers at unix:///nowhere.sock."
    )
