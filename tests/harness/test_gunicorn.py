"""The check with forked workers, which starts gunicorn."""

import os
import signal
import sys

import pytest

from flask_sqlalchemy_testbed.servers.processes import ProcessId
from tests.harness.projects import Project, eventually
from tests.harness.shops import BINDING

FORK = (
    "--pyargs",
    "flask_sqlalchemy_testbed.battery",
    "--testbed-check",
    "binding.fork",
    "--testbed-app",
    "shop",
)
HANGS_IN_WORKERS = f"""import os, time
from pathlib import Path
{BINDING}

def create_app(config):
    app = made(config["DATABASE_URI"])
    maker = os.getpid()

    @app.before_request
    def hang():
        if os.getpid() != maker:
            Path(f"gunicorn-{{os.getppid()}}").touch()
            Path(f"worker-{{os.getpid()}}").touch()
            time.sleep(60)

    return app
"""
DISPOSES_AFTER_FORK = f"""import os
{BINDING}

def create_app(config):
    app = made(config["DATABASE_URI"])
    os.register_at_fork(after_in_child=lambda: app.extensions["engine"].dispose(close=False))
    return app
"""


def test_the_installed_gunicorn_starts_the_workers(project_here: Project) -> None:
    project_here.write(DISPOSES_AFTER_FORK, "shop.py")

    outcome = project_here.run(*FORK)

    assert outcome.code == 0, outcome.text
    assert f"{len(project_here.backends)} passed" in outcome.text


def test_the_check_is_not_applicable_without_gunicorn(project_here: Project) -> None:
    project_here.write(DISPOSES_AFTER_FORK, "shop.py")
    project_here.write("import sys\nsys.modules['gunicorn'] = None\n", "without_gunicorn.py")

    outcome = project_here.run(*FORK, "-p", "without_gunicorn")
    count = len(project_here.backends)

    assert f"not applicable: {count} test{'s' * (count != 1)} (gunicorn is not installed)" in outcome.text


@pytest.mark.bad_day
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_gunicorn_and_its_workers_end_with_a_killed_run(
    project_here: Project, number: signal.Signals
) -> None:
    project_here.write(HANGS_IN_WORKERS, "shop.py")
    with project_here.start(*FORK) as process:
        eventually(lambda: list(project_here.path.glob("worker-*")))
        started = [int(path.name.partition("-")[2]) for path in project_here.path.glob("*-*")]
        left = [ProcessId.of(pid) for pid in started]
        process.send_signal(number)
        process.communicate(timeout=30)

    try:
        eventually(lambda: all(one.has_ended() for one in left))
    finally:
        for one in left:
            if not one.has_ended():
                os.kill(one.pid, signal.SIGKILL)
