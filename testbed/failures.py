"""What it takes to see why a test failed: the server's log of its time, and how to run it again and look."""

from __future__ import annotations

import os
import shlex
import sys
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testbed import stash
from testbed.backends import BACKENDS
from testbed.subjects import subject_options

if TYPE_CHECKING:
    from collections.abc import Generator

    from testbed.backend import Backend
    from testbed.servers import Server


# An attribute of a report, so that it goes where the report goes.
LEAK_MARK = "testbed_leak"
STOPPED = "kept what the first failure left (--keep-failed)"
# Two workers may fail at once.
_keeping = threading.Lock()


def pytest_configure(config: pytest.Config) -> None:
    """Has the workers of a parallel run say what is to be kept."""
    if (workers := config.stash.get(stash.WORKERS, None)) is not None:
        workers.answers["keep"] = partial(_keep_first, config)
        workers.answers["is kept"] = lambda: stash.KEPT in config.stash


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> bool | None:
    """Begins no test after the first failure that is kept, in whichever worker that was."""
    controller = item.config.stash.get(stash.CONTROLLER, None)
    if controller is None or not item.config.getoption("keep_failed") or not controller.ask("is kept"):
        return None
    item.session.shouldfail = STOPPED
    return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Adds to a failure what the server has to say, and keeps the server where that is wanted."""
    report = yield
    if report.failed and stash.BEGAN in item.stash:
        began, server = item.stash[stash.BEGAN]
        if log := server.log(began).strip():
            report.sections.append((f"{server.backend.name} log", log))
        report.sections.append(("rerun with its server and rows kept", rerun_command(item, server.backend)))
        vars(report)[LEAK_MARK] = report.when == "teardown" and stash.LEAK in item.stash
        item.stash.setdefault(stash.FAILURES, []).append(report)
        if item.config.getoption("keep_failed"):
            _keep(item, server)
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    """A test that leaves something open has failed: showing only at the end makes it no fixture's error."""
    return ("failed", "F", "FAILED") if getattr(report, LEAK_MARK, False) else None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Tells how to look into what was kept."""
    if lines := config.stash.get(stash.KEPT, []):
        terminalreporter.section("kept")
        for line in lines:
            terminalreporter.write_line(line)


def fail_for_leaks(item: pytest.Item, leaks: list[str]) -> None:
    """Fail the test that left these open; one that has failed already is only told of them."""
    from testbed.leaks import describe  # noqa: PLC0415 - SQLAlchemy is not for everybody

    told = describe(leaks)
    if failures := item.stash.get(stash.FAILURES, []):
        # Why it failed is what matters: the leak may well be a consequence.
        failures[0].sections.append(("left open", told))
        return
    item.stash[stash.LEAK] = told
    pytest.fail(told, pytrace=False)


def rerun_command(item: pytest.Item, backend: Backend) -> str:
    """Runs this test alone, from the directory that the tests were started in."""
    directory = item.config.invocation_params.dir
    inside = item.nodeid[len(item.nodeid.partition("::")[0]) :]
    test = os.path.relpath(item.path, directory) + inside
    images = [recipe.variable for known in BACKENDS.values() if (recipe := known.recipe)]
    settings = [f"{name}={shlex.quote(os.environ[name])}" for name in images if os.environ.get(name)]
    python = Path(sys.executable)
    program = str(python.relative_to(directory)) if python.is_relative_to(directory) else str(python)
    subject = subject_options(item.config)
    command = [program, "-m", "pytest", "--backend", backend.name, *subject, "--keep-failed", test]
    return " ".join([*settings, shlex.join(command)])


def _keep(item: pytest.Item, server: Server) -> None:
    run = stash.run_of(item.config)
    what = item.nodeid, server.backend.name, run.name
    controller = item.config.stash.get(stash.CONTROLLER, None)
    if controller is None:
        _keep_first(item.config, *what)
    else:
        controller.ask("keep", *what)
    item.session.shouldfail = STOPPED


def _keep_first(config: pytest.Config, test: str, backend: str, database: str) -> None:
    with _keeping:
        if stash.KEPT not in config.stash:
            how = stash.run_of(config).keep(backend, database)
            config.stash[stash.KEPT] = [f"{test} failed; its {backend} is as it left it", *how]
