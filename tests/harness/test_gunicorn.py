"""The checks with forked workers and with a gevent worker, which start gunicorn."""

import os
import signal
import sys

import pytest

from flask_sqlalchemy_testbed.servers.processes import ProcessId
from tests.harness.projects import Project, eventually
from tests.harness.shops import BINDING

BATTERY = ("--pyargs", "flask_sqlalchemy_testbed.battery", "--testbed-app", "shop", "--testbed-check")
FORK, GEVENT = "binding.fork", "lifecycle.gevent"
HANGS_IN_WORKERS = f"""import os, sys, time
from pathlib import Path
{BINDING}

def create_app(config):
    app = made(config["DATABASE_URI"])
    maker = os.getpid()

    @app.before_request
    def hang():
        # gevent's worker makes the app itself.
        if os.getpid() != maker or "gevent" in sys.modules:
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


@pytest.mark.parametrize("check", [FORK, GEVENT])
def test_the_installed_gunicorn_starts_the_workers(check: str, project_here: Project) -> None:
    project_here.write(DISPOSES_AFTER_FORK, "shop.py")

    outcome = project_here.run(*BATTERY, check)

    assert outcome.code == 0, outcome.text
    assert f"{len(project_here.backends)} passed" in outcome.text


@pytest.mark.parametrize("ini", ["pythonpath = src", "testbed_app = src.shop"])
def test_the_workers_import_the_app_as_the_run_does(project: Project, ini: str) -> None:
    (project.path / "src").mkdir()
    (project.path / "tests").mkdir()
    project.write(DISPOSES_AFTER_FORK, "src/shop.py")
    project.write(f"[pytest]\n{ini}\n", "pytest.ini")
    app = () if "app" in ini else BATTERY[2:-1]
    words = ("-c", "../pytest.ini", "--rootdir", "..", *BATTERY[:2], *app)

    outcome = Project(project.path / "tests", project.environment, ["sqlite"]).run(
        *words, "--testbed-check", FORK
    )

    assert outcome.code == 0, outcome.text


@pytest.mark.parametrize(("check", "package"), [(FORK, "gunicorn"), (GEVENT, "gunicorn"), (GEVENT, "gevent")])
def test_the_checks_are_not_applicable_without_their_packages(
    check: str, package: str, project_here: Project
) -> None:
    project_here.write(DISPOSES_AFTER_FORK, "shop.py")
    project_here.write(f"import sys\nsys.modules[{package!r}] = None\n", "without.py")

    outcome = project_here.run(*BATTERY, check, "-p", "without")
    count = len(project_here.backends)

    why = f"{package} is not installed: install it if your app runs in it"
    assert f"not applicable: {count} test{'s' * (count != 1)} ({why})" in outcome.text


@pytest.mark.bad_day
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("check", [FORK, GEVENT])
def test_gunicorn_and_its_workers_end_with_a_killed_run(
    check: str, project_here: Project, number: signal.Signals
) -> None:
    project_here.write(HANGS_IN_WORKERS, "shop.py")
    with project_here.start(*BATTERY, check) as process:
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
