"""When a backend cannot be used: say once why, and run no more tests that need it.

Their outcome is "not run". The exit status is 1 if another test failed, else that of a usage error, 4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from flask_sqlalchemy_testbed.plugin import state
from flask_sqlalchemy_testbed.plugin.app_option import runs_the_battery
from flask_sqlalchemy_testbed.plugin.schema import causes, schema_problem
from flask_sqlalchemy_testbed.plugin.selection import backend_of

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping

# An attribute of a report, which pytest-xdist passes on to the controller: the key in `_MET`, and the reason.
MARK = "testbed_not_run"
CATEGORY = "not run"
# Stands for the names of backends in a reason.
ALL = "\0"
# In a worker or a process of its own: the reasons that its tests have met, by backend, or by backend and
# schema.
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
    """Return why tests were not run, by backend, or by backend and schema; empty if all were run."""
    return config.stash[_REPORTED]


def know_outages(config: pytest.Config, reasons: Mapping[str, str]) -> None:
    """Run no test on backends that another process could not use.

    Args:
        config: pytest's configuration.
        reasons: the reasons, by the names of the backends.
    """
    config.stash[_MET].update(reasons)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Run no test that needs a backend which cannot be used."""
    backend = backend_of(item)
    if backend is not None and _needs_server(item) and (cause := _met(item, backend.name)):
        item.stash[_LEFT_OUT] = True
        pytest.skip(item.config.stash[_MET][cause])


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
    if report.failed and not _met(item, backend.name):
        if reason := _reason(item, backend.name, call):
            met[backend.name] = reason
        elif call.when == "setup" and (reason := schema_problem(item.config, call.excinfo.value)):
            met[_with_schema(item, backend.name)] = reason
    if (cause := _met(item, backend.name)) and (report.failed or _LEFT_OUT in item.stash):
        report.outcome = "skipped"
        report.longrepr = (str(item.path), 0, met[cause])
        vars(report)[MARK] = [cause, met[cause]]
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    """Count such a test as not run, unless it has passed or failed before its teardown."""
    if not hasattr(report, MARK):
        return None
    return ("", "", "") if report.when == "teardown" else (CATEGORY, "N", "NOT RUN")


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run in which tests were not run.

    A battery that could not try a backend has a status of its own.
    """
    if outages(session.config) and session.exitstatus == pytest.ExitCode.OK:
        of_battery = runs_the_battery(session.config)
        session.exitstatus = pytest.ExitCode.USAGE_ERROR if of_battery else pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Write each reason once."""
    if reasons := outages(config):
        terminalreporter.section(CATEGORY)
        for reason in _together(reasons):
            terminalreporter.write_line(reason)
        count = len(terminalreporter.getreports(CATEGORY))
        tests, them = ("test was", "it") if count == 1 else ("tests were", "them")
        terminalreporter.write_line(
            f"{count} {tests} not run for this reason. Remove the cause and run {them} again."
        )


def _together(reasons: Mapping[str, str]) -> Iterator[str]:
    """Yield each reason once, with all the backends that it is about."""
    backends: dict[str, list[str]] = {}
    for backend, reason in reasons.items():
        backends.setdefault(reason.replace(f" on {backend}: ", f" on {ALL}: ", 1), []).append(backend)
    for reason, names in backends.items():
        yield reason.replace(ALL, " and ".join(names), 1)


class _Listener:
    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the reasons, also those of workers."""
        if found := vars(report).get(MARK):
            cause, reason = found
            self._config.stash[_REPORTED].setdefault(cause, reason)


def _needs_server(item: pytest.Item) -> bool:
    return "testbed_server" in getattr(item, "fixturenames", ())


def _met(item: pytest.Item, backend: str) -> str:
    """Return the key of the reason for which this test cannot be run; empty if none is known."""
    keys = (backend, _with_schema(item, backend))
    return next((key for key in keys if key in item.config.stash[_MET]), "")


def _with_schema(item: pytest.Item, backend: str) -> str:
    """Return a key that all tests share which use the same fixture `testbed_schema` on this backend."""
    definitions = item._fixtureinfo.name2fixturedefs.get("testbed_schema")  # type: ignore[attr-defined]  # noqa: SLF001 - pytest has no public way
    variant = item.callspec.indices.get("testbed_schema", "")  # type: ignore[attr-defined] # it has a backend
    return f"{backend}, schema of {definitions[-1].baseid!r} {variant}" if definitions else backend


def _reason(item: pytest.Item, backend: str, call: pytest.CallInfo[None]) -> str:
    """Return why the backend cannot be used; an empty string if the failure is the test's own."""
    from flask_sqlalchemy_testbed.redaction import redact  # noqa: PLC0415 - on use
    from flask_sqlalchemy_testbed.servers.readiness import LOG_TAIL_LINES, ServerError  # noqa: PLC0415 - the same
    from flask_sqlalchemy_testbed.subject.errors import ObstacleError  # noqa: PLC0415 - the same

    run = item.config.stash.get(state.RUN, None)
    server = run.servers.get(backend) if run else None
    # A check may stop a server of its own.
    if state.BEGAN in item.stash and item.stash[state.BEGAN][1] is server and (outage := server.outage()):
        lines = redact(server.log(0)).strip().splitlines()[-LOG_TAIL_LINES:]
        end = "".join(["\nIts log ends:", *(f"\n  {line}" for line in lines)]) if lines else ""
        return f"{outage} The first test that met this was {item.nodeid}.{end}"
    if call.excinfo is None:
        return ""
    # A check may make an app for the first time. A further server that a fixture starts may fail alone.
    expected = (ServerError, ObstacleError) if call.when == "setup" and not server else (ObstacleError,)
    known = (one for one in causes(call.excinfo.value) if isinstance(one, expected))
    return next((str(one) for one in known), "")
