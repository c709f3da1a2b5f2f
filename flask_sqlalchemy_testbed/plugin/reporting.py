"""Collect the outcomes of the checks, and write the matrix, the report and the summary."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from flask_sqlalchemy_testbed.backends.base import Backend
from flask_sqlalchemy_testbed.checks.check import check_of
from flask_sqlalchemy_testbed.plugin import settings, state
from flask_sqlalchemy_testbed.plugin.baseline import KNOWN_MARK
from flask_sqlalchemy_testbed.redaction import redact
from flask_sqlalchemy_testbed.report.findings import Findings
from flask_sqlalchemy_testbed.report.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable
    from pathlib import Path

    from flask_sqlalchemy_testbed.plugin.evidence import Gatherer
    from flask_sqlalchemy_testbed.report.findings import Finding
    from flask_sqlalchemy_testbed.report.matrix import Attempt, Report


def pytest_configure(config: pytest.Config) -> None:
    """Has somebody listen; it costs next to nothing unless a report is wanted."""
    config.pluginmanager.register(Reporter(config), "testbed-reporter")


class Reporter:
    """Hears of every check, and tells in the end."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._results = Findings()
        self._matrix = _path(config, "matrix")
        self._directory = _path(config, "report")
        self._gatherer: Gatherer | None = None
        # In a parallel run the workers find, and the one who leads them tells.
        self._controller = config.stash.get(state.CONTROLLER, None)
        if (workers := config.stash.get(state.WORKERS, None)) is not None:
            workers.answers["found"] = self._results.update
        if self._directory is not None:
            from flask_sqlalchemy_testbed.plugin.evidence import Gatherer  # noqa: PLC0415 - it needs SQLAlchemy

            self._gatherer = Gatherer()
            config.add_cleanup(self._gatherer.close)

    def pytest_deselected(self, items: Iterable[pytest.Item]) -> None:
        """Those that do not apply are in the matrix too; those that nobody asked for are not."""
        for item in items:
            if reason := item.stash.get(state.NOT_APPLICABLE, ""):
                for attempt in self._attempts(item):
                    attempt["outcome"], attempt["reason"] = Outcome.NOT_APPLICABLE, reason

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Where the run is cut short, what was left is seen not to have run."""
        for item in session.items:
            self._attempts(item)
        self._hand_over(self._results.all())

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Records what happens while a check runs."""
        attempts = self._attempts(item)
        if self._gatherer is not None:
            if attempts:
                self._gatherer.begin()
            else:
                self._gatherer.pause()
        try:
            return (yield)
        finally:
            if attempts:
                if self._gatherer is not None:
                    self._gatherer.end(item, attempts)
                self._hand_over(self._results.of(item.nodeid))

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """What a check asks belongs to its evidence; what its fixtures ask does not."""
        if self._gatherer is None or not check_of(item):
            return (yield)
        self._read_late_logs()
        with self._gatherer.listening_to_the_check():
            return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Takes the outcome from the report, with all that others have added to it."""
        report = yield
        for attempt in self._attempts(item):
            _judge(attempt, report)
            if self._gatherer is not None:
                self._gatherer.add(item, attempt, report)
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A worker that dies reports nothing of the test that it was at; pytest-xdist does."""
        if report.when not in {"setup", "call", "teardown"}:
            for _, _, attempt in self._results.of(report.nodeid):
                attempt["outcome"], attempt["reason"] = Outcome.FAILED, report.longreprtext

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """Writes what was asked for, after a run that was cut short too; the servers are still there."""
        self._read_late_logs()
        if self._controller is not None or (self._matrix is None and self._directory is None):
            return
        if not self._results.rows():  # What an earlier run has written says more.
            self._directory = None
            return
        from flask_sqlalchemy_testbed.report import pages  # noqa: PLC0415
        from flask_sqlalchemy_testbed.report.matrix import matrix_of, write  # noqa: PLC0415

        report = self._report(ask=True)
        if self._matrix is not None:
            write(self._matrix, matrix_of(report))
        if self._directory is not None:
            pages.write(self._directory, report)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """One row a check, one column a backend; then what failed."""
        if self._results.rows() and terminalreporter.verbosity >= 0:
            from flask_sqlalchemy_testbed.report import terminal  # noqa: PLC0415

            terminal.write(terminalreporter, self._report(ask=False))
        if self._directory is not None:
            terminalreporter.write_line(f"report: {self._directory / 'index.html'}")

    def _read_late_logs(self) -> None:
        for test in self._gatherer.read_late_logs() if self._gatherer is not None else ():
            self._hand_over(self._results.of(test))

    def _hand_over(self, found: list[Finding]) -> None:
        if self._controller is not None and found:
            self._controller.ask("found", found)

    def _attempts(self, item: pytest.Item) -> list[Attempt]:
        """One; or one for each backend, where a check does not depend on it; none where it is no check."""
        if not (check := check_of(item)):
            return []
        return [self._results.attempt(check, backend, item.nodeid) for backend in _backends(item)]

    def _report(self, *, ask: bool) -> Report:
        from flask_sqlalchemy_testbed.plugin import facts  # noqa: PLC0415

        run = self._config.stash.get(state.RUN, None)
        return {
            "subject": facts.subject(self._config),
            "software": facts.software(),
            "servers": facts.servers(run, ask=ask) if run else {},
            "checks": self._results.rows(),
            "made": facts.now(),
            "evidence": self._results.evidence(),
        }


def _judge(attempt: Attempt, report: pytest.TestReport) -> None:
    if report.when == "setup":  # Of a second time too, where a test is run again.
        attempt["outcome"], attempt["reason"] = Outcome.NOT_RUN, ""
        attempt["seconds"], attempt["failure"] = 0.0, ""
    attempt["seconds"] = round(attempt["seconds"] + report.duration, 6)
    if report.failed or hasattr(report, "wasxfail"):
        # That it was expected to fail does not make the claim hold.
        known = hasattr(report, KNOWN_MARK)
        attempt["outcome"] = Outcome.KNOWN_FAILURE if known else Outcome.FAILED
        attempt["reason"] = attempt["reason"] or _reason(report)
        attempt["failure"] += f"{redact(report.longreprtext)}\n"
    elif report.skipped:
        attempt["reason"] = _reason(report)
    elif report.when == "call" and attempt["outcome"] not in {Outcome.FAILED, Outcome.KNOWN_FAILURE}:
        attempt["outcome"] = Outcome.PASSED


def _reason(report: pytest.TestReport) -> str:
    """What went wrong, in a line."""
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is not None:
        text = crash.message
    elif isinstance(report.longrepr, tuple):
        text = report.longrepr[2]
    else:
        # Of a fixture that cannot be had pytest tells the place first, with what it is about after an E.
        lines = report.longreprtext.splitlines()
        text = next((line[1:] for line in lines if line.startswith("E ")), report.longreprtext)
    line, *more = redact(text.strip()).splitlines() or [""]
    if more and more[0].startswith("assert "):
        # After what was said about it: what was found, and what should have been.
        line += f" ({more[0]})"
    return line if report.when == "call" else f"{report.when}: {line}"


def _backends(item: pytest.Item) -> list[str]:
    callspec = getattr(item, "callspec", None)
    backend = callspec.params.get("testbed_backend") if callspec is not None else None
    if isinstance(backend, Backend):
        return [backend.name]
    return [chosen.name for chosen in item.config.stash[state.BACKENDS]]


def _path(config: pytest.Config, option: str) -> Path | None:
    path = settings.given(config, option)
    return config.invocation_params.dir / path if path else None
