"""Add the server's log and the command that repeats the failure to a failed test."""

from __future__ import annotations

import gc
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from flask_sqlalchemy_testbed.backends import BACKENDS
from flask_sqlalchemy_testbed.checks.check import check_of
from flask_sqlalchemy_testbed.options import OPTIONS, flag, in_command, words
from flask_sqlalchemy_testbed.plugin import settings, state
from flask_sqlalchemy_testbed.plugin.selection import CATEGORY

if TYPE_CHECKING:
    from collections.abc import Generator

    from flask_sqlalchemy_testbed.backends.base import Backend

# Options that a repeated test sets itself, or that concern the outcome of the whole run.
NOT_REPEATED = {
    *("backend", "check", "exclude", "baseline", "matrix", "sarif", "report", "keep-failed", "linger"),
}
# Attributes of a report, which pytest-xdist passes on to the controller.
LEAK_MARK = "testbed_leak"
KEEP_MARK = "testbed_keep"


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> bool | None:
    """Run no test after the first kept failure in any worker."""
    worker = item.config.stash.get(state.WORKER, None)
    if worker is None or not worker.kept.exists():
        return None
    _stop(item)
    return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the server's log and the command to a failure; keep the server if the user wants it."""
    # The finalizer of a connection that was left open may print a traceback. While pytest parses the source
    # of the failure, that ends the run: Python 3.11 raises SystemError.
    collects = gc.isenabled()
    gc.disable()
    try:
        report = yield
    finally:
        if collects:
            gc.enable()
    if report.failed and state.BEGAN in item.stash:
        began, server = item.stash[state.BEGAN]
        if log := server.log(began).strip():
            report.sections.append((f"{server.backend.name} log", log))
        report.sections.append(("rerun with its server and rows kept", rerun_command(item, server.backend)))
        vars(report)[LEAK_MARK] = report.when == "teardown" and state.LEAK in item.stash
        item.stash.setdefault(state.FAILURES, []).append(report)
        if settings.given(item.config, "keep-failed"):
            _keep_first(item, server.backend.name, report)
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Keep the server of a failure in a worker; only the controller can."""
    node = getattr(report, "node", None)
    if node is not None and hasattr(report, KEEP_MARK):
        _keep(node.config, *getattr(report, KEEP_MARK))


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(report: pytest.TestReport, config: pytest.Config) -> tuple[str, str, str] | None:
    """Count a test that leaves something open once: as failed, whatever the outcome of its call."""
    if not getattr(report, LEAK_MARK, False):
        return None
    if reporter := config.pluginmanager.get_plugin("terminalreporter"):
        # Its call has been counted: pytest knows no other way to take that back.
        for category in ("passed", CATEGORY):
            counted = reporter.stats.get(category, [])
            counted[:] = [other for other in counted if other.nodeid != report.nodeid]
    # The baseline has changed the report of a known failure.
    return None if hasattr(report, "wasxfail") else ("failed", "F", "FAILED")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print how to connect to the server that was kept."""
    if lines := config.stash.get(state.KEPT, []):
        terminalreporter.section("kept")
        for line in lines:
            terminalreporter.write_line(line)


def fail_for_leaks(item: pytest.Item, leaks: list[str]) -> None:
    """Fail the test, or add the leaks to the report of a test that has failed already.

    Args:
        item: the test, whose fixtures are being torn down.
        leaks: the connections, sessions and transactions that it left open, at least one.
    """
    if state.INTERRUPTED in item.stash:
        return  # Raised here, the failure would keep the report of the run from being written.
    from flask_sqlalchemy_testbed.leaks.probe import describe  # noqa: PLC0415 - imports SQLAlchemy

    description = describe(leaks)
    # It is OK while tests run, and tells afterwards that Ctrl-C or pytest.exit() has ended the run.
    if item.session.exitstatus != pytest.ExitCode.OK:
        return  # The test had no chance to close anything.
    if failures := item.stash.get(state.FAILURES, []):
        # The failure explains more: the leak may be a consequence of it.
        failures[0].sections.append(("left open", description))
        return
    item.stash[state.LEAK] = description
    pytest.fail(description, pytrace=False)


def rerun_command(item: pytest.Item, backend: Backend) -> str:
    """Return the shell command that runs only this test.

    It works in the directory in which pytest was started.

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
    options = words({"backend": backend.name, **_repeated(item.config), "keep-failed": True})
    if in_command() and (check := check_of(item)) is not None:
        # flask reads .env, which the app may need. The report of this run stays as it is.
        by_flask = os.environ.get("FLASK_RUN_FROM_CLI") == "true"
        module = ["flask", "testbed"] if by_flask else ["flask_sqlalchemy_testbed"]
        arguments = [*module, *options, *words({"check": check.id, "report": "testbed-rerun"})]
    else:
        arguments = ["pytest", *_options_of_pytest(item.config), *options, test]
    return " ".join([*environment, shlex.join([program, "-m", *arguments])])


def _repeated(config: pytest.Config) -> dict[str, Any]:
    return {name: settings.given(config, name) for name in OPTIONS if name not in NOT_REPEATED}


def _options_of_pytest(config: pytest.Config) -> list[str]:
    """Return the options that choose the configuration and the plugins of pytest."""
    option = config.option
    found = ["-c", option.inifilename] if option.inifilename else []
    found += ["--rootdir", option.rootdir] if option.rootdir else []
    for word, values in (("-o", option.override_ini), ("-p", option.plugins)):
        found += [part for value in values or () for part in (word, value)]
    return found


def _keep_first(item: pytest.Item, backend: str, report: pytest.TestReport) -> None:
    database = state.run_of(item.config).name
    worker = item.config.stash.get(state.WORKER, None)
    if worker is None:
        _keep(item.config, item.nodeid, backend, database)
    elif not worker.kept.exists():
        # Of two workers that fail at the same moment, one creates the file.
        try:
            worker.kept.touch(exist_ok=False)
        except FileExistsError:
            pass
        else:
            vars(report)[KEEP_MARK] = [item.nodeid, backend, database]
    _stop(item)


def keep(item: pytest.Item, test: str, backend: str, database: str) -> None:
    """Keep the server of a failure that another process met, and run no more tests.

    Args:
        item: the test in this process.
        test: the id of the test.
        backend: the name of its backend.
        database: the name of its database.
    """
    if state.WORKER not in item.config.stash:  # The controller keeps it; the report tells it to.
        _keep(item.config, test, backend, database)
    _stop(item)


def _keep(config: pytest.Config, test: str, backend: str, database: str) -> None:
    if state.KEPT not in config.stash:
        lines = state.run_of(config).keep(backend, database)
        config.stash[state.KEPT] = [f"{test} failed; its {backend} database was kept", *lines]


def _stop(item: pytest.Item) -> None:
    item.session.shouldfail = f"kept the database of the first failure ({flag('keep-failed')})"
