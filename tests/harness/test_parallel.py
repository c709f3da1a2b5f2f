"""The workers of pytest-xdist share servers and report as one process would.

Each has databases of its own.
"""

import json
import os
import re
import signal
from typing import Any

import pytest

from flask_sqlalchemy_testbed.backends.connection import Connection
from flask_sqlalchemy_testbed.plugin import state
from flask_sqlalchemy_testbed.servers.given import variable
from flask_sqlalchemy_testbed.servers.network import Server
from tests.harness.projects import Outcome, Project, eventually, remove_kept
from tests.harness.test_ends import left_of, run_in
from tests.harness.test_report import BATTERY

TWO = ("-n", "2")
WITHIN = 60.0
# Seconds for dozens of workers on few processors.
MANY_WITHIN = 240.0
# Each worker runs each test, and waits until the other is in the same test.
IN_BOTH = """
    import os, time
    from pathlib import Path

    def test_it(testbed_database, testbed_server):
        worker = os.environ["PYTEST_XDIST_WORKER"]
        kind = testbed_server.backend.name
        testbed_database.connection.rows("CREATE TABLE t (x INTEGER)")
        Path(f"{kind}-{worker}.part").write_text(f"{testbed_database.name}\\n{testbed_server.source}")
        Path(f"{kind}-{worker}.part").rename(f"{kind}-{worker}")
        until = time.monotonic() + 30
        while len(list(Path().glob(f"{kind}-gw[01]"))) < 2:
            assert time.monotonic() < until
            time.sleep(0.01)
        {then}
"""
EACH = (*TWO, "--dist", "each")


def in_both(project: Project, then: str = "") -> Project:
    project.write(IN_BOTH.replace("{then}", then))
    return project


def used(project: Project, backend: str) -> list[tuple[str, str]]:
    """Return the name of each worker's database, and the source of its server."""
    found = []
    for worker in ("gw0", "gw1"):
        name, source = (project.path / f"{backend}-{worker}").read_text().split("\n")
        found.append((name.rpartition("/")[2].removesuffix(".db"), source))
    return found


def run_of(project: Project) -> str:
    """Return the name of the run."""
    ((name, _), _) = used(project, project.backends[0])
    return name.rpartition("_")[0]


@pytest.fixture
def waiting(project_of_its_own: Project) -> Project:
    """Return a project whose test on the last backend waits in a worker."""
    last = project_of_its_own.backends[-1]
    project_of_its_own.write(
        f"""
        import time
        from pathlib import Path

        def test_it(testbed_database, testbed_backend):
            testbed_database.connection.rows("CREATE TABLE t (x INTEGER)")
            if testbed_backend.name == {last!r}:
                Path("ready.part").write_text(testbed_database.name)
                Path("ready.part").rename("ready")
                time.sleep(60)
        """
    )
    return project_of_its_own


def test_workers_share_servers_and_have_their_own_databases(project_of_its_own: Project) -> None:
    outcome = in_both(project_of_its_own).run(*EACH)

    assert outcome.code == 0, outcome.text
    for backend in project_of_its_own.backends:
        (first, one), (second, other) = used(project_of_its_own, backend)
        assert one == other
        assert (first, second) == (f"{run_of(project_of_its_own)}_gw0", f"{run_of(project_of_its_own)}_gw1")
        (line,) = outcome.lines(f"{backend}: ")
        assert line.endswith(f"({one})")
    eventually(lambda: not left_of(run_of(project_of_its_own)))


def test_workers_share_servers_that_only_the_configuration_file_names(project_of_its_own: Project) -> None:
    chosen = project_of_its_own.backends
    in_both(project_of_its_own)
    project_of_its_own.backends = []
    outcome = project_of_its_own.run(*EACH, "-o", f"testbed_backend={' '.join(chosen)}")
    project_of_its_own.backends = chosen

    assert outcome.code == 0, outcome.text
    for backend in chosen:
        (_, one), (_, other) = used(project_of_its_own, backend)
        assert one == other
    eventually(lambda: not left_of(run_of(project_of_its_own)))


@pytest.mark.testbed_needs("server")
def test_a_killed_worker_leaves_nothing_on_a_given_server(project: Project, testbed_server: Server) -> None:
    project = given(project, testbed_server)
    in_both(project, 'worker == "gw0" and os.kill(os.getpid(), 9)')
    outcome = project.run(*EACH)

    assert "crashed while running" in outcome.text
    assert not [name for name in names(testbed_server) if name.startswith(run_of(project))]


def test_a_killed_worker_is_replaced_and_leaves_nothing(project_of_its_own: Project) -> None:
    project_of_its_own.write(
        """
        import os
        from pathlib import Path
        import pytest

        @pytest.mark.parametrize("which", range(4))
        def test_it(testbed_database, testbed_backend, which):
            Path(f"{testbed_backend.name}-{which}").write_text(testbed_database.name)
            if which == 1:
                os.kill(os.getpid(), 9)
        """
    )
    outcome = project_of_its_own.run(*TWO)
    count = len(project_of_its_own.backends)
    name = (project_of_its_own.path / f"{project_of_its_own.backends[0]}-1").read_text()
    found = re.search("testbed_[0-9a-f]{12}", name)

    assert "replacing crashed worker" in outcome.text
    assert f"{count} failed, {3 * count} passed" in outcome.text
    assert found is not None
    eventually(lambda: not left_of(found[0]))


def test_ctrl_c_during_a_parallel_run_leaves_nothing(waiting: Project) -> None:
    with waiting.start(*TWO) as process:
        run = run_in(waiting)
        os.killpg(process.pid, signal.SIGINT)

        assert process.wait(WITHIN) == pytest.ExitCode.INTERRUPTED
    eventually(lambda: not left_of(run))


def test_a_killed_parallel_run_leaves_nothing(waiting: Project) -> None:
    with waiting.start(*TWO) as process:
        run = run_in(waiting)
        process.kill()
        process.wait(WITHIN)

        eventually(lambda: not left_of(run))


def test_the_first_failure_of_all_workers_is_kept(project_of_its_own: Project) -> None:
    project_of_its_own.backends = project_of_its_own.backends[-1:]
    outcome = in_both(project_of_its_own, "assert False").run(*EACH, "--testbed-keep-failed")
    kept = [
        name for name, _ in used(project_of_its_own, project_of_its_own.backends[0]) if name in outcome.text
    ]

    try:
        assert len(outcome.lines("look:")) == 1
        assert len(kept) == 1
    finally:
        remove_kept(outcome.text)


@pytest.mark.testbed_needs("server")
def test_the_first_failure_is_kept_on_a_given_server(project: Project, testbed_server: Server) -> None:
    outcome = in_both(given(project, testbed_server), "assert False").run(*EACH, "--testbed-keep-failed")
    left = [name for name in names(testbed_server) if name.startswith(run_of(project))]

    try:
        assert len(left) == 1
        assert left[0] in outcome.text
    finally:
        for name in left:
            testbed_server.drop(name)


@pytest.mark.parametrize("workers", [32])
def test_many_workers_that_end_collection_at_the_same_moment_all_run_tests(
    project: Project, workers: int
) -> None:
    project.write(
        f"""
        import os, time
        from pathlib import Path
        import pytest

        @pytest.hookimpl(tryfirst=True)
        def pytest_collection_modifyitems():
            Path("collected-" + os.environ["PYTEST_XDIST_WORKER"]).touch()
            until = time.monotonic() + {MANY_WITHIN}
            while len(list(Path().glob("collected-gw*"))) < {workers}:
                assert time.monotonic() < until
                time.sleep(0.01)
        """,
        "conftest.py",
    )
    project.write("def test_it(testbed_database):\n    pass\n")
    project.within = MANY_WITHIN
    outcome = project.run("-n", str(workers), "--dist", "each")

    assert f"{workers} passed" in outcome.text


def test_a_server_that_does_not_start_fails_only_its_own_tests(project: Project) -> None:
    project.write("def test_it(testbed_database):\n    pass\n")
    options = ("-o", "testbed_backend=sqlite postgresql")
    outcome = project.run(*TWO, *options, DOCKER_HOST="tcp://127.0.0.1:1")

    assert "1 passed, 1 not run" in outcome.text
    assert len(outcome.lines("No server for postgresql: ")) == 1


def test_tests_that_do_not_apply_are_counted_once(project: Project) -> None:
    project.write(
        """
        import pytest

        @pytest.mark.testbed_needs("server")
        def test_it(testbed_backend):
            pass

        def test_other():
            pass
        """
    )
    outcome = project.run(*TWO)

    assert outcome.code == 0, outcome.text
    assert outcome.lines("not applicable: ") == ["not applicable: 1 test (sqlite lacks server)"]


@pytest.fixture(scope="module")
def ran(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> list[tuple[Project, Outcome]]:
    """Run the same checks in one process and in two workers, on the servers of this run."""
    found = []
    for options in ((), TWO):
        project = Project(tmp_path_factory.mktemp("battery"))
        for backend in pytestconfig.stash[state.BACKENDS]:
            given(project, state.run_of(pytestconfig).server(backend))
        project.write(BATTERY)
        told = ("--testbed-matrix", "matrix.json", "--testbed-report", "report", "--junit-xml", "junit.xml")
        found.append((project, project.run(*told, *options)))
    return found


def test_the_matrix_is_the_same(ran: list[tuple[Project, Outcome]]) -> None:
    alone, spread = (json.loads((project.path / "matrix.json").read_text()) for project, _ in ran)

    assert {row["id"]: row["results"] for row in alone["checks"]} != {}
    for facts in (*alone["servers"].values(), *spread["servers"].values()):
        del facts["source"]  # The directory is named after the run.
    assert without_addresses(alone) == without_addresses(spread)


def test_the_evidence_is_the_same(ran: list[tuple[Project, Outcome]]) -> None:
    alone, spread = (evidence(project) for project, _ in ran)

    assert alone == spread


def test_the_summary_in_the_terminal_is_the_same(ran: list[tuple[Project, Outcome]]) -> None:
    alone, spread = (outcome.text for _, outcome in ran)
    begins = re.compile(r"^=+ battery.*?^report:", re.MULTILINE | re.DOTALL)

    (told,) = begins.findall(alone)
    assert [without_addresses(told)] == [without_addresses(text) for text in begins.findall(spread)]
    assert counted(alone) == counted(spread)


def test_a_check_that_kills_its_worker_has_failed(project: Project) -> None:
    project.write(
        """
        import os
        from flask_sqlalchemy_testbed.checks.check import check
        from flask_sqlalchemy_testbed.checks.definition import Check

        @check(Check("binding.dies", "It dies."))
        def test_dies(testbed_database):
            os.kill(os.getpid(), 9)

        @check(Check("binding.lives", "It lives."))
        def test_lives(testbed_database):
            pass
        """
    )
    project.run(*TWO, "--testbed-matrix", "matrix.json")
    found = json.loads((project.path / "matrix.json").read_text())

    results = {row["id"]: row["results"]["sqlite"] for row in found["checks"]}
    assert results == {"binding.dies": "failed", "binding.lives": "passed"}
    assert "crashed while running" in found["checks"][0]["reasons"]["sqlite"]


def test_a_parallel_run_of_the_command_begins_with_the_checks_that_stop_a_server(project: Project) -> None:
    project.write(
        """
        from pathlib import Path
        from flask_sqlalchemy_testbed.checks.check import check
        from flask_sqlalchemy_testbed.checks.definition import Check

        def note(name):
            with Path("order").open("a") as order:
                order.write(f"{name} ")

        @check(Check("binding.first", "It is short."))
        def test_first():
            note("first")

        @check(Check("faults.long", "It is long.", stops_server=True))
        def test_long():
            note("long")

        def test_other():
            note("other")
        """
    )
    order = project.path / "order"

    ran = project.run("-p", "flask_sqlalchemy_testbed.plugin.command", "-n", "1")
    parallel = order.read_text()
    order.unlink()
    project.run("-p", "flask_sqlalchemy_testbed.plugin.command")

    assert "2 passed" in ran.text
    assert (parallel, order.read_text()) == ("long first other ", "first long other ")


@pytest.mark.testbed_needs("server")
def test_no_password_is_in_arguments_or_on_the_terminal(project: Project, testbed_server: Server) -> None:
    given(project, testbed_server).write(
        """
        from pathlib import Path

        def test_it(testbed_database):
            Path("arguments").write_text(Path("/proc/self/cmdline").read_text())
            assert 1 == 2
        """
    )
    outcome = project.run(*TWO, "--debug=debug.log")
    told = [outcome.text, *((project.path / name).read_text() for name in ("arguments", "debug.log"))]

    assert "1 failed" in outcome.text
    assert testbed_server.url is not None
    assert f":{testbed_server.url.password}@" not in "".join(told)


def given(project: Project, server: Server) -> Project:
    """Return the project with the URI of the server in its environment."""
    project.backends.append(server.backend.name)
    if server.url is not None:
        project.environment[variable(server.backend)] = server.url.render_as_string(hide_password=False)
    return project


def names(server: Server) -> set[str]:
    assert server.url is not None
    connection = Connection(server.url, options=server.backend.connect_options)
    try:
        return {name for (name,) in connection.rows(server.backend.databases)}
    finally:
        connection.close()


def counted(text: str) -> list[str]:
    """Return the counts of outcomes; the workers count the tests that were deselected."""
    return re.findall(r"\d+ (?:passed|failed|error)", text.splitlines()[-1])


def evidence(project: Project) -> dict[str, Any]:
    """Return the facts that do not change from run to run, by check and backend."""
    report = json.loads((project.path / "report" / "evidence.json").read_text())
    return {
        check: {
            backend: [
                (one["test"], one["outcome"], one.get("source"), said(one), without_addresses(one["reason"]))
                for one in attempts
            ]
            for backend, attempts in backends.items()
        }
        for check, backends in report["evidence"].items()
    }


def said(attempt: dict[str, Any]) -> list[tuple[str, str]]:
    return [(event["kind"], event.get("text", "")) for event in attempt.get("timeline", ())]


def without_addresses(found: object) -> str:
    """Return the text without names and numbers that change from run to run."""
    text = re.sub(r"testbed_[0-9a-f]{12}(_gw\d)?", "testbed", json.dumps(found))
    return re.sub(r"(session|pid|0x|test_inner0?/|battery)[ ]?[0-9a-f]+", r"\1", text)
