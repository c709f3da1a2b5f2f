"""However a run ends, it leaves no container, no directory and no process."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

import pytest

from flask_sqlalchemy_testbed.backends import BACKENDS
from flask_sqlalchemy_testbed.servers.reaper import Reaper
from tests.harness.projects import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.harness.projects import Project

WITHIN = 30.0
# On the last backend the test waits, after it has written the URI and the id of a forked process to files.
WAITING = """
    import os, re, time
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
            Path("ready.part").write_text(database_uri)
            Path("ready.part").rename("ready")
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
    assert left_of(run) == []
    eventually(lambda: not left_of(run_in(waiting)))


def test_nothing_is_left_after_ctrl_c_while_servers_start(waiting: Project) -> None:
    with waiting.start() as process:
        ours = eventually(lambda: children_of(process.pid))
        run = eventually(lambda: run_named_by(ours[0]))
        eventually(lambda: interrupt(process))

    eventually(lambda: not left_of(run))


@contextlib.contextmanager
def ended_child(project: Project) -> Iterator[Callable[[], int]]:
    """Kill the process that the run has forked, which does not end with the run."""

    def child() -> int:
        return int((project.path / "child").read_text())

    try:
        yield child
    finally:
        with contextlib.suppress(OSError):  # The run may have ended before it forked.
            os.kill(child(), signal.SIGKILL)


def interrupt(process: subprocess.Popen[str]) -> bool:
    """Press Ctrl-C; the caller repeats it, because Python loses an interrupt while it runs a finalizer."""
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
    project.write(
        "import time\ndef pytest_sessionfinish():\n    print('over')\n    time.sleep(60)", "conftest.py"
    )
    with project.start("--testbed-keep-failed", "-s", PYTHONUNBUFFERED="1") as process:
        lines = cast("IO[str]", process.stdout)
        assert any(line.strip().endswith("over") for line in lines)
        file = Path((project.path / "file").read_text())
        run = file.stem
        os.kill(process.pid, signal.SIGKILL)

    eventually(lambda: not processes_of(run))
    assert file.exists()
    shutil.rmtree(file.parent)


def test_the_reaper_leaves_kept_directories(tmp_path: Path) -> None:
    run = f"testbed_{secrets.token_hex(6)}"
    for name in ("gone", "kept"):
        (tmp_path / name).mkdir()
    reaper = Reaper(run)
    reaper.watch_directory("one", tmp_path / "gone")
    reaper.watch_directory("other", tmp_path / "kept")
    reaper.keep("other")
    reaper.dismiss(all_gone=False)

    eventually(lambda: not (tmp_path / "gone").exists())
    eventually(lambda: not processes_of(run))
    assert (tmp_path / "kept").exists()


def run_in(project: Project) -> str:
    """Return the name of the run, once its test waits."""
    ready = project.path / "ready"
    eventually(ready.exists)
    found = re.search("testbed_[0-9a-f]{12}", ready.read_text())
    assert found is not None
    return found[0]


def left_of(run: str) -> list[str]:
    """Return the processes, directories and containers of a run."""
    found = [f"process {number}" for number in processes_of(run)]
    for parent in (Path("/dev/shm"), Path(tempfile.gettempdir())):  # noqa: S108
        found += [str(path) for path in parent.glob(f"{run}*")]
    if an_engine_answers():
        found += docker("ps", "--all", "--quiet", "--filter", f"label=testbed.run={run}").split()
    return found


def an_engine_answers() -> bool:
    """Return whether Docker works; the socket of a killed engine may still exist."""
    if shutil.which("docker") is None:
        return False
    result = subprocess.run(["docker", "info"], check=False, capture_output=True, timeout=WITHIN)
    return result.returncode == 0


def processes_of(run: str) -> list[int]:
    return [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/cmdline") if run in read(path)]


def children_of(pid: int) -> list[int]:
    return [int(number) for number in read(Path(f"/proc/{pid}/task/{pid}/children")).split()]


def run_named_by(pid: int) -> str:
    """Return the name of the run that a reaper was started for."""
    found = re.search("testbed_[0-9a-f]{12}", read(Path(f"/proc/{pid}/cmdline")))
    return found[0] if found else ""


def read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:  # The process has ended.
        return ""


def docker(*words: str) -> str:
    command = ["docker", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=WITHIN).stdout
