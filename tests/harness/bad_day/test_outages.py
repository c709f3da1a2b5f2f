"""The tests of a backend that cannot be used are not run, and its cause is said once."""

import json
import re

import pytest

from flask_sqlalchemy_testbed.backends import BACKENDS
from flask_sqlalchemy_testbed.backends.base import Backend
from flask_sqlalchemy_testbed.battery.gates import Port
from flask_sqlalchemy_testbed.databases import Database
from flask_sqlalchemy_testbed.run import Run
from flask_sqlalchemy_testbed.servers.given import variable
from flask_sqlalchemy_testbed.servers.readiness import ServerError
from tests.harness.projects import Outcome, Project, eventually

pytestmark = pytest.mark.bad_day

MANY = """
    import pytest

    @pytest.mark.parametrize("which", range(20))
    def test_it(testbed_database, which):
        testbed_database.connection.rows("SELECT 1")
"""
# The third test ends the server of its backend, unless that is a file; the others use it.
ENDS = """
    import subprocess
    import pytest
    from sqlalchemy import create_engine, text

    @pytest.mark.parametrize("which", range(20))
    def test_it(testbed_database, testbed_server, which):
        if which == 2 and testbed_server.url is not None:
            subprocess.run(["docker", "kill", testbed_server.container.id], check=True, capture_output=True)
        engine = create_engine(testbed_database.uri)
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
        engine.dispose()
"""
TWO = ("-n", "2")
NOT_RUN = "{} tests were not run for this reason. Remove the cause and run them again."


def said(outcome: Outcome) -> list[str]:
    """Return the lines of the summary about tests that were not run."""
    found = re.search(r"^=+ not run =+\n(.*?)^=", outcome.text, re.MULTILINE | re.DOTALL)
    return [line for line in found[1].splitlines() if line] if found else []


@pytest.mark.testbed_needs("container")
@pytest.mark.parametrize("parallel", [(), TWO], ids=["one process", "two workers"])
def test_a_server_that_ends_during_the_run_is_said_once(
    project: Project, testbed_backend: Backend, parallel: tuple[str, ...]
) -> None:
    project.backends = [testbed_backend.name, "sqlite"]
    project.write(ENDS)
    outcome = project.run(*parallel)

    assert outcome.code == pytest.ExitCode.TESTS_FAILED
    ((passed, not_run),) = re.findall(r"= (\d+) passed, (\d+) not run in", outcome.lines("=")[-1])
    assert int(passed) + int(not_run) == 40
    assert parallel or int(not_run) == 18
    reason, log, *_ = said(outcome)
    assert reason.startswith(f"The {testbed_backend.name} server (")
    assert " has ended: " in reason
    assert f"test that met this was test_inner.py::test_it[{testbed_backend.name}-" in reason
    assert log == "Its log ends:"
    assert said(outcome)[-1] == NOT_RUN.format(not_run)
    assert "Traceback" not in outcome.text
    assert len(outcome.text.splitlines()) < 25


@pytest.mark.testbed_needs("server")
def test_a_given_server_that_ends_is_said_once(
    project: Project, testbed_database: Database, testbed_backend: Backend
) -> None:
    project.backends = [testbed_backend.name]
    project.write(
        """
        from pathlib import Path
        import time
        import pytest

        @pytest.mark.parametrize("which", range(20))
        def test_it(testbed_database, which):
            if which == 2:
                Path("ready").touch()
                while not Path("shut").exists():
                    time.sleep(0.01)
            testbed_database.connection.close()
            testbed_database.connection.rows("SELECT 1")
        """
    )
    gate = Port(testbed_database)
    gate.open()
    with project.start(**{variable(testbed_backend): gate.uri}) as process:
        eventually((project.path / "ready").exists)
        gate.shut()
        (project.path / "shut").touch()
        text, _ = process.communicate(timeout=60)
    outcome = Outcome(process.wait(), text)

    assert outcome.code == pytest.ExitCode.TESTS_FAILED
    assert re.search(r"= 2 passed, 18 not run in", outcome.lines("=")[-1])
    reason, count = said(outcome)
    assert reason.startswith(f"The {testbed_backend.name} server ({variable(testbed_backend)}) has ended: ")
    assert count == NOT_RUN.format(18)


def test_a_further_server_that_cannot_start_fails_only_its_own_test(project_here: Project) -> None:
    project_here.write(
        """
        import pytest
        from flask_sqlalchemy_testbed.servers.readiness import ServerError

        @pytest.fixture
        def standby():
            raise ServerError("the standby did not start")

        def test_a_first_one(testbed_database):
            pass

        def test_the_standby(testbed_database, standby):
            pass

        def test_a_last_one(testbed_database):
            pass
        """
    )
    outcome = project_here.run()

    count = len(project_here.backends)
    errors = f"{count} error" + "s" * (count > 1)
    assert f"= {2 * count} passed, {errors} in" in outcome.lines("=")[-1]


@pytest.mark.parametrize("parallel", [(), TWO], ids=["one process", "two workers"])
def test_a_schema_command_that_fails_is_said_once(project_here: Project, parallel: tuple[str, ...]) -> None:
    project_here.write("raise SystemExit('the migration is broken')", "make.py")
    project_here.write(MANY)
    outcome = project_here.run("--testbed-schema-command", "python make.py", *parallel)

    count = len(project_here.backends)
    assert outcome.code == pytest.ExitCode.TESTS_FAILED
    assert f"= {20 * count} not run in" in outcome.lines("=")[-1]
    assert outcome.text.count("the migration is broken") == 1
    assert said(outcome)[-1] == NOT_RUN.format(20 * count)
    assert len(outcome.text.splitlines()) < 25


def test_a_metadata_that_a_backend_cannot_create_is_said_once(project: Project) -> None:
    project.write(
        """
        from sqlalchemy import Column, MetaData, Table
        from sqlalchemy.dialects.postgresql import TSVECTOR

        metadata = MetaData()
        Table("thing", metadata, Column("words", TSVECTOR, primary_key=True))
        """,
        "models.py",
    )
    project.write(MANY)
    outcome = project.run("--testbed-metadata", "models:metadata", "--testbed-backend", "sqlite")

    reason, count = said(outcome)
    assert outcome.code == pytest.ExitCode.TESTS_FAILED
    assert reason.startswith("--testbed-metadata 'models:metadata': its tables cannot be created on sqlite: ")
    assert "TSVECTOR" in reason
    assert count == NOT_RUN.format(20)


@pytest.mark.parametrize("parallel", [(), TWO], ids=["one process", "two workers"])
def test_a_server_of_the_configuration_file_that_cannot_start_is_said_once(
    project: Project, parallel: tuple[str, ...]
) -> None:
    project.write(MANY)
    outcome = project.run(
        *("-W", "error", "-o", "testbed_backend=sqlite postgresql"),
        *parallel,
        DOCKER_HOST="unix:///nowhere.sock",
    )

    assert outcome.code == pytest.ExitCode.TESTS_FAILED
    assert "20 passed, 20 not run in" in outcome.lines("=")[-1]
    reason, count = said(outcome)
    assert reason.startswith("No server for postgresql: no Docker engine answers at unix:///nowhere.sock. ")
    assert count == NOT_RUN.format(20)


def test_one_test_that_was_not_run_is_counted_in_the_singular(project: Project) -> None:
    project.write("def test_it(database_uri): pass")
    outcome = project.run("-o", "testbed_backend=sqlite postgresql", DOCKER_HOST="unix:///nowhere.sock")

    assert "1 test was not run for this reason. Remove the cause and run it again." in outcome.text


def test_checks_that_were_not_run_are_no_failures_in_matrix_and_baseline(project: Project) -> None:
    project.write(
        """
        from flask_sqlalchemy_testbed.checks.check import check
        from flask_sqlalchemy_testbed.checks.definition import Check

        @check(Check("binding.alone", "It needs no database."))
        def test_alone():
            pass

        @check(Check("binding.holds", "It holds."))
        def test_holds(testbed_database):
            pass
        """
    )
    options = ("--testbed-backend", "sqlite", "--testbed-schema-command", "python nothing.py")
    outcome = project.run(
        *options, "--testbed-matrix", "matrix.json", "--testbed-baseline", "known.json", CI=""
    )

    assert outcome.code == pytest.ExitCode.TESTS_FAILED
    _, row = json.loads((project.path / "matrix.json").read_text())["checks"]
    assert row["results"] == {"sqlite": "not run"}
    assert "known.json was not written: a backend could not be used." in outcome.text
    assert not (project.path / "known.json").exists()


def test_a_server_that_cannot_be_used_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def given_url(backend: Backend) -> None:
        asked.append(backend.name)
        message = "It is away."
        raise ServerError(message)

    monkeypatch.setattr("flask_sqlalchemy_testbed.run.given_url", given_url)
    run = Run(notify=lambda _: None)
    try:
        for _ in range(2):
            with pytest.raises(ServerError, match=r"^It is away\.$"):
                run.start([BACKENDS["postgresql"]])
    finally:
        run.close()

    assert asked == ["postgresql"]
