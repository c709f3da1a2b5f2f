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

from flask_sqlalchemy_testbed.backends import BACKENDS
from flask_sqlalchemy_testbed.checks.check import check_of
from flask_sqlalchemy_testbed.options import flag, in_command, words
from flask_sqlalchemy_testbed.plugin import settings, state
from flask_sqlalchemy_testbed.plugin.app_option import subject_options

if TYPE_CHECKING:
    from collections.abc import Generator

    from flask_sqlalchemy_testbed.backends.base import Backend
    from flask_sqlalchemy_testbed.servers.network import Server


# An attribute of a report, so that it goes where the report goes.
LEAK_MARK = "testbed_leak"
STOPPED = "kept what the first failure left (--testbed-keep-failed)"
# Two workers may fail at once.
_keeping = threading.Lock()


def pytest_configure(config: pytest.Config) -> None:
    """Has the workers of a parallel run say what is to be kept."""
    if (workers := config.stash.get(state.WORKERS, None)) is not None:
        workers.answers["keep"] = partial(_keep_first, config)
        workers.answers["is kept"] = lambda: state.KEPT in config.stash


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> bool | None:
    """Begins no test after the first failure that is kept, in whichever worker that was."""
    controller = item.config.stash.get(state.CONTROLLER, None)
    if controller is None or not settings.given(item.config, "keep-failed") or not controller.ask("is kept"):
        return None
    item.session.shouldfail = STOPPED
    return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Adds to a failure what the server has to say, and keeps the server where that is wanted."""
    report = yield
    if report.failed and state.BEGAN in item.stash:
        began, server = item.stash[state.BEGAN]
        if log := server.log(began).strip():
            report.sections.append((f"{server.backend.name} log", log))
        report.sections.append(("rerun with its server and rows kept", rerun_command(item, server.backend)))
        vars(report)[LEAK_MARK] = report.when == "teardown" and state.LEAK in item.stash
        item.stash.setdefault(state.FAILURES, []).append(report)
        if settings.given(item.config, "keep-failed"):
            _keep(item, server)
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    """A test that leaves something open has failed: showing only at the end makes it no fixture's error."""
    return ("failed", "F", "FAILED") if getattr(report, LEAK_MARK, False) else None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Tells how to look into what was kept."""
    if lines := config.stash.get(state.KEPT, []):
        terminalreporter.section("kept")
        for line in lines:
            terminalreporter.write_line(line)


def fail_for_leaks(item: pytest.Item, leaks: list[str]) -> None:
    """Fail the test that left these open; one that has failed already is only told of them."""
    from flask_sqlalchemy_testbed.leaks.probe import describe  # noqa: PLC0415 - SQLAlchemy is not for everybody

    told = describe(leaks)
    if failures := item.stash.get(state.FAILURES, []):
        # Why it failed is what matters: the leak may well be a consequence.
        failures[0].sections.append(("left open", told))
        return
    item.stash[state.LEAK] = told
    pytest.fail(told, pytrace=False)


def rerun_command(item: pytest.Item, backend: Backend) -> str:
    """Return the shell command that runs only this test, from the directory that pytest was started in.

    Args:
        item: the test.
        backend: the only backend to run it on.
    """
    directory = item.config.invocation_params.dir
    test = os.path.relpath(item.path, directory) + item.nodeid[len(item.nodeid.partition("::")[0]) :]
    images = [recipe.variable for known in BACKENDS.values() if (recipe := known.recipe)]
    environment = [f"{name}={shlex.quote(os.environ[name])}" for name in images if os.environ.get(name)]
    python = Path(sys.executable)
    program = str(python.relative_to(directory)) if python.is_relative_to(directory) else str(python)
    options = [*words({"backend": backend.name}), *subject_options(item.config), flag("keep-failed")]
    if in_command() and (check := check_of(item)) is not None:
        # flask reads .env, which the app may need. The report of this run stays as it is.
        by_flask = os.environ.get("FLASK_RUN_FROM_CLI") == "true"
        module = ["flask", "testbed"] if by_flask else ["flask_sqlalchemy_testbed"]
        arguments = [*module, *options, *words({"check": check.id, "report": "testbed-rerun"})]
    else:
        arguments = ["pytest", *options, test]
    return " ".join([*environment, shlex.join([program, "-m", *arguments])])


def _keep(item: pytest.Item, server: Server) -> None:
    run = state.run_of(item.config)
    what = item.nodeid, server.backend.name, run.name
    controller = item.config.stash.get(state.CONTROLLER, None)
    if controller is None:
        _keep_first(item.config, *what)
    else:
        controller.ask("keep", *what)
    item.session.shouldfail = STOPPED


def _keep_first(config: pytest.Config, test: str, backend: str, database: str) -> None:
    with _keeping:
        if state.KEPT not in config.stash:
            how = state.run_of(config).keep(backend, database)
            config.stash[state.KEPT] = [f"{test} failed; its {backend} is as it left it", *how]
