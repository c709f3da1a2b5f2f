"""What it takes to see why a test failed: the server's log of its time, and how to run it again and look."""

from __future__ import annotations

import os
import shlex
import sys
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
    if stash.KEPT in item.config.stash:
        return
    how = stash.run_of(item.config).keep(server)
    item.config.stash[stash.KEPT] = [
        f"{item.nodeid} failed; its {server.backend.name} is as it left it",
        *how,
    ]
    item.session.shouldfail = "kept what the first failure left (--keep-failed)"
