"""When a backend cannot be used: say once why, and run no more tests that need it.

Their outcome is "not run", and the run fails.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from flask_sqlalchemy_testbed.plugin import state
from flask_sqlalchemy_testbed.plugin.schema import SchemaError
from flask_sqlalchemy_testbed.plugin.selection import backend_of

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

# An attribute of a report, which pytest-xdist passes on to the controller: the backend and the reason.
MARK = "testbed_not_run"
CATEGORY = "not run"
# In a worker or a process of its own: the reasons that its tests have met. By the names of backends.
_MET: pytest.StashKey[dict[str, str]] = pytest.StashKey()
# The reasons that all processes of the run have reported.
_REPORTED: pytest.StashKey[dict[str, str]] = pytest.StashKey()
# Of a test: whether this module has skipped it.
_LEFT_OUT: pytest.StashKey[bool] = pytest.StashKey()


def pytest_configure(config: pytest.Config) -> None:
    """Register the part that needs the configuration."""
    config.stash[_MET], config.stash[_REPORTED] = {}, {}
    config.pluginmanager.register(_Listener(config), "flask-sqlalchemy-testbed-outage")


def outages(config: pytest.Config) -> dict[str, str]:
    """Return why backends could not be used, by their names; empty if all tests were run."""
    return config.stash[_REPORTED]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Run no test that needs a backend which cannot be used."""
    backend = backend_of(item)
    if backend is not None and backend.name in item.config.stash[_MET] and _needs_server(item):
        item.stash[_LEFT_OUT] = True
        pytest.skip(item.config.stash[_MET][backend.name])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Count a test that failed because its backend cannot be used as not run."""
    report = yield
    backend = backend_of(item)
    if call.excinfo is None or backend is None or not _needs_server(item):
        return report
    met = item.config.stash[_MET]
    if report.failed and backend.name not in met and (reason := _reason(item, backend.name, call)):
        met[backend.name] = reason
    if backend.name in met and (report.failed or _LEFT_OUT in item.stash):
        report.outcome = "skipped"
        report.longrepr = (str(item.path), 0, met[backend.name])
        vars(report)[MARK] = [backend.name, met[backend.name]]
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    """Count such a test as not run, unless it has passed or failed before its teardown."""
    if not hasattr(report, MARK):
        return None
    return ("", "", "") if report.when == "teardown" else (CATEGORY, "N", "NOT RUN")


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run in which tests were not run."""
    if outages(session.config) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Write each reason once."""
    if reasons := outages(config):
        terminalreporter.section(CATEGORY)
        for reason in reasons.values():
            terminalreporter.write_line(reason)
        count = len(terminalreporter.getreports(CATEGORY))
        terminalreporter.write_line(
            f"{count} tests need this and were not run. Run them again without the cause."
        )


class _Listener:
    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the reasons, also those of workers."""
        if found := vars(report).get(MARK):
            backend, reason = found
            self._config.stash[_REPORTED].setdefault(backend, reason)


def _needs_server(item: pytest.Item) -> bool:
    return "testbed_server" in getattr(item, "fixturenames", ())


def _reason(item: pytest.Item, backend: str, call: pytest.CallInfo[None]) -> str:
    """Return why the backend cannot be used; an empty string if the failure is the test's own."""
    from flask_sqlalchemy_testbed.redaction import redact  # noqa: PLC0415 - on use
    from flask_sqlalchemy_testbed.servers.readiness import LOG_TAIL_LINES, ServerError  # noqa: PLC0415 - the same

    run = item.config.stash.get(state.RUN, None)
    server = run.servers.get(backend) if run else None
    # A check may stop a server of its own.
    if state.BEGAN in item.stash and item.stash[state.BEGAN][1] is server and (outage := server.outage()):
        lines = redact(server.log(0)).strip().splitlines()[-LOG_TAIL_LINES:]
        end = "".join(["\nIts log ends:", *(f"\n  {line}" for line in lines)]) if lines else ""
        return f"{outage} The first test that met this was {item.nodeid}.{end}"
    if call.when != "setup" or call.excinfo is None:
        return ""
    # A further server that a fixture starts may fail alone.
    expected = SchemaError if server else (ServerError, SchemaError)
    known = (one for one in _causes(call.excinfo.value) if isinstance(one, expected))
    return next((str(one) for one in known), "")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__
