import contextlib
import re
import shlex
import sqlite3
import subprocess
from collections.abc import Iterator

import pytest

from flask_sqlalchemy_testbed.backends import BACKENDS
from flask_sqlalchemy_testbed.plugin import state
from flask_sqlalchemy_testbed.servers import containers, files, images
from flask_sqlalchemy_testbed.servers.network import expected_capabilities
from tests.harness.projects import Outcome, Project

FAILING = """
    import pytest
    from sqlalchemy import create_engine, text

    @pytest.mark.parametrize("name", ["earlier", "later"])
    def test_it(database_uri, name):
        engine = create_engine(database_uri)
        with pytest.raises(Exception), engine.connect() as connection:
            connection.execute(text(f"SELECT * FROM {name}"))
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE facts (x INTEGER)"))
            connection.execute(text("INSERT INTO facts VALUES (4711)"))
        engine.dispose()
        assert name == "earlier"

    def test_after(database_uri):
        pass
"""
# The server's log when a statement fails.
LOGGED = {"sqlite": "", "postgresql": 'relation "later" does not exist', "mysql": ""}


@pytest.fixture(scope="module")
def kept(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[dict[str, Outcome]]:
    """Run a failing test on each backend; at the end remove the kept servers.

    The run shows the commands for that.
    """
    outcomes = {}
    for backend in pytestconfig.stash[state.BACKENDS]:
        if "throwaway" in expected_capabilities(backend):
            project = Project(tmp_path_factory.mktemp(backend.name), backends=[backend.name])
            project.write(FAILING)
            outcomes[backend.name] = project.run("--testbed-keep-failed", POSTGRESQL_IMAGE="postgres:18")
    yield outcomes
    for command in [
        line.removeprefix("remove: ") for outcome in outcomes.values() for line in outcome.lines("remove: ")
    ]:
        subprocess.run(command, shell=True, check=True, capture_output=True, timeout=30)  # noqa: S602


def test_a_failure_shows_the_command_that_repeats_it(kept: dict[str, Outcome]) -> None:
    for name, outcome in kept.items():
        (command,) = [
            line for line in outcome.text.splitlines() if "--testbed-keep-failed" in line and "pytest" in line
        ]
        command = re.sub(r"-p no:\w+ ", "", command)  # Options of this test's run of pytest are repeated too.

        assert command.startswith("POSTGRESQL_IMAGE=postgres:18 ")
        assert command.endswith(
            f"-m pytest --testbed-backend {name} --testbed-keep-failed 'test_inner.py::test_it[{name}-later]'"
        )


def test_a_failure_shows_the_log_of_its_server_since_the_test_began(kept: dict[str, Outcome]) -> None:
    for name, outcome in kept.items():
        log = "".join(re.findall(rf"^-+ {name} log -+$(.*?)^---", outcome.text, re.DOTALL | re.MULTILINE))

        assert BACKENDS[name].of(LOGGED) in log
        assert "earlier" not in log


def test_a_kept_failure_stops_the_run(kept: dict[str, Outcome]) -> None:
    for name, outcome in kept.items():
        assert f"test_it[{name}-later] failed; " in outcome.text
        assert "1 failed, 1 passed" in outcome.text


def test_a_kept_server_has_the_rows_and_later_runs_leave_it(kept: dict[str, Outcome]) -> None:
    files.sweep()
    for backend in (BACKENDS[name] for name in kept if BACKENDS[name].recipe):
        containers.sweep(images.connect(backend))

    for outcome in kept.values():
        assert "4711" in rows_shown_by(said(outcome, "look"))


def said(outcome: Outcome, word: str) -> str:
    (line,) = outcome.lines(f"{word}:")
    return line.partition(":")[2].strip()


def rows_shown_by(command: str) -> str:
    """Return the rows that the printed command and a query show."""
    program, *words = [word for word in shlex.split(command) if word != "-it"]
    query = "SELECT x FROM facts;"
    if program == "sqlite3":  # Python has SQLite also where the program is missing.
        with contextlib.closing(sqlite3.connect(words[0])) as connection:
            return str(connection.execute(query).fetchall())
    words.insert(1, "-i")
    shown = subprocess.run(
        [program, *words], input=query, check=True, capture_output=True, text=True, timeout=30
    )
    return shown.stdout


def test_garbage_that_prints_a_traceback_stops_no_report(project: Project) -> None:
    """Collect such garbage while pytest parses the source of the failure, which Python 3.11 refuses.

    A connection that an app left open prints one, if its rollback fails.
    """
    project.write(
        """
        import gc
        import traceback

        class Left:
            def __init__(self):
                self.cycle = self

            def __del__(self):
                try:
                    1 / 0
                except ZeroDivisionError:
                    traceback.format_exc()
                Left()

        def test_it(database_uri):
            gc.set_threshold(50)
            Left()
            assert 1 == 2

        def test_next(database_uri):
            gc.set_threshold(700)
        """
    )
    outcome = project.run()

    assert "1 failed, 1 passed" in outcome.text
