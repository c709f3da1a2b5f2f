"""A run leaves no container, no directory and no process, in whatever way it ends."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flask_sqlalchemy_testbed.backends import BACKENDS
from flask_sqlalchemy_testbed.servers.processes import ProcessId
from tests.harness.projects import Project, eventually
from tests.prepared import Process

WITHIN = 30.0
# On the last backend the test waits, after it has written the URI and the id of a forked process to files.
WAITING = """
    import os, time
    from pathlib import Path
    from sqlalchemy import create_engine, text

    ran = []

    def test_it(database_uri, pytestconfig):
        engine = create_engine(database_uri)
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE t (x INTEGER)"))
        engine.dispose()
        ran.append(database_uri)
        if len(ran) == int(os.environ["BACKENDS"]):
            child = os.fork()
            if not child:
                os.setsid()
                time.sleep(60)
                os._exit(0)
            Path("child").write_text(str(child))
            Path("ready").write_text(database_uri)
            time.sleep(60)
"""


@pytest.fixture
def waiting(project_of_its_own: Project) -> Project:
    project_of_its_own.write(WAITING)
    project_of_its_own.environment["BACKENDS"] = str(len(project_of_its_own.backends))
    return project_of_its_own


def test_nothing_is_left_after_ctrl_c(waiting: Project) -> None:
    with waiting.start() as process, ended_child(waiting):
        run = run_in(waiting)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does

        assert process.wait(WITHIN) == pytest.ExitCode.INTERRUPTED
    eventually(lambda: not left_of(run))  # the reaper removes the containers after the run


def test_nothing_is_left_of_a_killed_run_while_its_forked_process_still_runs(waiting: Project) -> None:
    with waiting.start() as process, ended_child(waiting) as child:
        run = run_in(waiting)
        assert len(left_of(run)) > len(waiting.backends)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(WITHIN)

        eventually(lambda: not left_of(run))
        os.kill(child(), 0)  # it still runs and has inherited the reaper's pipe


@pytest.mark.bad_day
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
@pytest.mark.parametrize("program", ["python", "sh"])
def test_a_schema_command_ends_with_a_killed_run(project: Project, program: str) -> None:
    project.write("import os, time; open('ready', 'w').write(str(os.getpid())); time.sleep(60)", "hang.py")
    project.write("echo $$ >ready; sleep 60", "hang.sh")
    project.write("def test_it(testbed_database): pass")
    file = {"python": "hang.py", "sh": "hang.sh"}[program]
    with project.start("--testbed-schema-command", f"{program} {file}") as process:
        command = ProcessId.of(int(eventually(lambda: read(project.path / "ready"))))
        process.kill()
        process.wait(WITHIN)

        eventually(command.has_ended)


@pytest.mark.bad_day
def test_nothing_is_left_of_a_run_whose_reaper_was_killed(waiting: Project) -> None:
    with waiting.start() as process, ended_child(waiting):
        run = run_in(waiting)
        for reaper in processes_of(run):
            os.kill(reaper, signal.SIGKILL)
        os.killpg(process.pid, signal.SIGINT)
        process.wait(WITHIN)

        assert left_of(run) == []


def test_the_next_run_removes_what_a_killed_run_with_a_killed_reaper_has_left(waiting: Project) -> None:
    with waiting.start() as process, ended_child(waiting):
        run = run_in(waiting)
        for reaper in processes_of(run):
            os.kill(reaper, signal.SIGKILL)
        process.kill()

    waiting.write(
        "from pathlib import Path\ndef test_it(database_uri): Path('ready').write_text(database_uri)"
    )
    outcome = waiting.run()

    assert outcome.code == 0
    # At the end of a run, Docker may still remove a container, for this run or for another one beside it.
    eventually(lambda: not left_of(run))
    eventually(lambda: not left_of(run_in(waiting)))


def test_nothing_is_left_after_ctrl_c_while_servers_start(waiting: Project) -> None:
    with waiting.start() as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        (reaper, *_) = eventually(lambda: read(children).split())
        run = eventually(lambda: name_in(Path(f"/proc/{reaper}/cmdline")))
        eventually(lambda: interrupt(process))

    eventually(lambda: not left_of(run))


@contextlib.contextmanager
def ended_child(project: Project) -> Iterator[Callable[[], int]]:
    """Kill the process that the run has forked, which does not end with the run."""
    try:
        yield lambda: int(read(project.path / "child"))
    finally:
        with contextlib.suppress(OSError, ValueError):  # The run may have ended before it forked.
            os.kill(int(read(project.path / "child")), signal.SIGKILL)


def interrupt(process: Process) -> bool:
    """Press Ctrl-C, and return whether the process has ended.

    The caller repeats it, because Python loses an interrupt while it runs a finalizer.
    """
    with contextlib.suppress(ProcessLookupError):  # It may have ended since the last call.
        os.killpg(process.pid, signal.SIGINT)
    try:
        process.wait(1)
    except subprocess.TimeoutExpired:
        return False
    return True


def test_a_kept_file_stays_if_the_run_is_killed_later(project: Project) -> None:
    project.backends = [name for name, backend in BACKENDS.items() if backend.recipe is None]
    project.write(
        """
        from pathlib import Path

        def test_failing(testbed_database):
            testbed_database.connection.rows("CREATE TABLE t (x INTEGER)")
            Path("file").write_text(testbed_database.url.database)
            assert 1 == 2
        """
    )
    waits = "from pathlib import Path\ndef pytest_sessionfinish():\n    Path('over').touch()"
    project.write(f"{waits}\n    __import__('time').sleep(60)", "conftest.py")
    with project.start("--testbed-keep-failed") as process:
        eventually((project.path / "over").exists)
        process.kill()

    file = Path(read(project.path / "file"))
    eventually(lambda: not processes_of(file.stem))
    assert file.exists()
    shutil.rmtree(file.parent)


def run_in(project: Project) -> str:
    """Return the name of the run, once its test waits."""
    return eventually(lambda: name_in(project.path / "ready"))


def left_of(run: str) -> list[str]:
    """Return the processes, directories and containers of a run."""
    found = [f"process {number}" for number in processes_of(run)]
    for parent in (Path("/dev/shm"), Path(tempfile.gettempdir())):  # noqa: S108
        found += [str(path) for path in parent.glob(f"{run}*")]
    if shutil.which("docker"):  # Without an engine, the command fails and prints no container.
        command = ["docker", "ps", "--all", "--quiet", "--filter", f"label=testbed.run={run}"]
        result = subprocess.run(command, check=False, capture_output=True, text=True, timeout=WITHIN)
        found += result.stdout.split()
    return found


def processes_of(run: str) -> list[int]:
    return [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/cmdline") if run in read(path)]


def name_in(path: Path) -> str:
    """Return the name of the run that the file mentions."""
    found = re.search("testbed_[0-9a-f]{12}", read(path))
    return found[0] if found else ""


def read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:  # The process has ended, or nothing is written yet.
        return ""
