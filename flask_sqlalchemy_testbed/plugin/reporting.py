"""Collect the outcomes of the checks; write the matrix, the report and the summary."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from flask_sqlalchemy_testbed.checks.check import check_of
from flask_sqlalchemy_testbed.checks.definition import Check
from flask_sqlalchemy_testbed.options import in_command
from flask_sqlalchemy_testbed.plugin import outage, outputs, state
from flask_sqlalchemy_testbed.plugin.baseline import KNOWN_MARK, is_first_run
from flask_sqlalchemy_testbed.plugin.selection import backends_of
from flask_sqlalchemy_testbed.report.findings import Findings
from flask_sqlalchemy_testbed.report.outcome import Outcome
from flask_sqlalchemy_testbed.subject.shown import TESTBED

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from flask_sqlalchemy_testbed.plugin.evidence import Gatherer
    from flask_sqlalchemy_testbed.report.findings import Finding
    from flask_sqlalchemy_testbed.report.matrix import Attempt, Report

# An attribute of a worker's report, and a key of its `workeroutput`: findings, as JSON.
FINDINGS = "testbed_findings"
# The attributes of a check that a report shows.
SENT = ("id", "claim", "severity", "cause", "cases", "remedy", "default_of")


def pytest_configure(config: pytest.Config) -> None:
    """Register the reporter, which is almost inactive while no check runs."""
    reporter = Reporter(config)
    config.pluginmanager.register(reporter, "flask-sqlalchemy-testbed-reporter")
    config.pluginmanager.register(LastLines(reporter), "flask-sqlalchemy-testbed-last-lines")


class Reporter:
    """Follows every check. A worker of pytest-xdist sends its findings to the controller."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._findings = Findings()
        self._matrix = outputs.path_of(config, "matrix")
        self._sarif = outputs.path_of(config, "sarif")
        self._directory = outputs.path_of(config, "report")
        self._gatherer: Gatherer | None = None
        self._is_worker = state.WORKER in config.stash
        self._unsent: list[Finding] = []
        if self._directory is not None:
            from flask_sqlalchemy_testbed.plugin.evidence import Gatherer  # noqa: PLC0415 - imports SQLAlchemy

            self._gatherer = Gatherer()
            config.add_cleanup(self._gatherer.close)

    def pytest_deselected(self, items: Iterable[pytest.Item]) -> None:
        """Show checks that do not apply in the matrix, but none that the user has deselected."""
        for item in items:
            if reason := item.stash.get(state.NOT_APPLICABLE, ""):
                for attempt in self._attempts(item):
                    attempt["outcome"], attempt["reason"] = Outcome.NOT_APPLICABLE, reason

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Show every collected check in the matrix, also when the run is interrupted."""
        for item in session.items:
            self._attempts(item)
        if self._is_worker:
            self._unsent = self._findings.all()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Record only while a check runs."""
        if self._gatherer is not None:
            if check_of(item):
                self._gatherer.begin()
            else:
                self._gatherer.pause()
        try:
            return (yield)
        except BaseException:
            # Ctrl-C: pytest makes no report of this test.
            item.stash[state.INTERRUPTED] = True
            if self._gatherer is not None:
                self._gatherer.end(item, self._attempts(item))
            raise

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """Record the harness's statements during the check itself, but not those of its fixtures."""
        if self._gatherer is None or not check_of(item):
            return (yield)
        self._read_late_logs()
        with self._gatherer.listening_to_the_check():
            return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Take the outcome from the report, after other plugins have changed the report."""
        report = yield
        attempts = self._attempts(item)
        for attempt in attempts:
            _judge(attempt, report, call.excinfo)
            if report.skipped and state.NOT_APPLICABLE in item.stash:
                attempt["outcome"] = Outcome.NOT_APPLICABLE
                attempt["reason"] = item.stash[state.NOT_APPLICABLE]
            if report.when == "teardown" and attempt["outcome"] == Outcome.PASSED:
                attempt["reason"] = item.stash.get(state.NOTE, "")
            if self._gatherer is not None:
                self._gatherer.add(item, attempt, report)
        if attempts and report.when == "teardown":
            if self._gatherer is not None:
                self._gatherer.end(item, attempts)
            self._send(item.nodeid)
        if self._unsent:
            vars(report)[FINDINGS] = self._packed()
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the findings of a worker.

        pytest-xdist makes the only report of a test whose worker crashed.
        """
        if FINDINGS in vars(report) and not self._is_worker:
            self._findings.update(_unpacked(vars(report).pop(FINDINGS)))
        if report.when not in {"setup", "call", "teardown"}:
            for _, _, attempt in self._findings.of(report.nodeid):
                attempt["outcome"], attempt["reason"] = Outcome.FAILED, report.longreprtext

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take the findings that a worker could not attach to a report; a crashed worker sends none."""
        self._findings.update(_unpacked(getattr(node, "workeroutput", {}).get(FINDINGS, "[]")))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the selected files, also after an interrupted run; the servers still run."""
        self._read_late_logs()
        if self._is_worker:
            self._config.workeroutput[FINDINGS] = self._packed()  # type: ignore[attr-defined]
            return
        if is_first_run(self._config):
            self._count_known_as_failed()
        if not self._findings.rows():  # The files of an earlier run say more.
            self._directory = None
            return
        if self._ran_no_check():
            self._leave_out_files(session)
        if self._matrix is None and self._directory is None and self._sarif is None:
            return
        from flask_sqlalchemy_testbed.report import pages, sarif  # noqa: PLC0415 - on use
        from flask_sqlalchemy_testbed.report.matrix import matrix_of, write  # noqa: PLC0415 - on use

        report = self._report(ask=True)
        if (matrix := self._matrix) is not None:
            outputs.write(session, "matrix", lambda: write(matrix, matrix_of(report)))
        if (log := self._sarif) is not None:
            found = sarif.document(report, self._config.invocation_params.dir)
            outputs.write(session, "sarif", lambda: write(log, found))
        if (directory := self._directory) is not None and not outputs.write(
            session, "report", lambda: pages.write(directory, report)
        ):
            self._directory = None

    def _count_known_as_failed(self) -> None:
        for _, _, attempt in self._findings.all():
            if attempt["outcome"] == Outcome.KNOWN_FAILURE:
                attempt["outcome"] = Outcome.FAILED

    def _leave_out_files(self, session: pytest.Session) -> None:
        """Write no file that another program would take for the result of a run, and say so.

        Without alerts in it, a SARIF file closes all alerts. The report shows a person why no check was run,
        but an earlier one says more.
        """
        for name, path in (("matrix", self._matrix), ("sarif", self._sarif)):
            if path is not None:
                outputs.leave_out(session, name)
        self._matrix = self._sarif = None
        if self._directory is not None and (self._directory / "index.html").exists():
            self._directory = None

    def write_last_lines(self, terminal: pytest.TerminalReporter) -> None:
        """Write which change to make first, and in a job of GitHub Actions the annotations and the summary.

        Args:
            terminal: Where to write.
        """
        if self._is_worker or not self._findings.rows():
            return
        from flask_sqlalchemy_testbed.report import github  # noqa: PLC0415 - on use
        from flask_sqlalchemy_testbed.report.terminal import write_advice  # noqa: PLC0415 - on use

        report = self._report(ask=False)
        if github.in_job():
            for line in github.annotate(report, self._config.invocation_params.dir):
                terminal.write_line(line)
            try:
                github.add_to_summary(report)
            except OSError as error:
                terminal.write_line(f"The summary of the job was not written: {error.strerror}.", red=True)
        if terminal.verbosity >= 0:
            write_advice(terminal, report)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Write a row for each check with a column for each backend, then the failures."""
        if self._findings.rows() and terminalreporter.verbosity >= 0 and not self._none_was_run():
            from flask_sqlalchemy_testbed.report import summary, terminal  # noqa: PLC0415 - on use

            report = self._report(ask=False)
            terminal.write(terminalreporter, report)
            if in_command():
                terminal.end_with(terminalreporter, summary.counts(report))
            else:
                terminalreporter.write_line(summary.counts(report))
        if self._directory is not None:
            terminalreporter.write_line(f"report: {self._directory / 'index.html'}")

    def _none_was_run(self) -> bool:
        """Return whether no backend could be used: a row for each check would hide the reason."""
        return bool(outage.outages(self._config)) and self._ran_no_check()

    def _ran_no_check(self) -> bool:
        outcomes = {outcome for row in self._findings.rows() for outcome in row["results"].values()}
        return Outcome.NOT_RUN in outcomes <= {Outcome.NOT_RUN, Outcome.NOT_APPLICABLE}

    def _read_late_logs(self) -> None:
        for test in self._gatherer.read_late_logs() if self._gatherer is not None else ():
            self._send(test)

    def _send(self, test: str) -> None:
        if self._is_worker:
            self._unsent += self._findings.of(test)

    def _packed(self) -> str:
        import json  # noqa: PLC0415 - on use

        # As JSON: pytest-xdist sends no subclass of str, such as an outcome or the name of a column.
        found = [
            ({name: getattr(check, name) for name in SENT}, backend, one)
            for check, backend, one in self._unsent
        ]
        self._unsent = []
        return json.dumps(found)

    def _attempts(self, item: pytest.Item) -> list[Attempt]:
        if not (check := check_of(item)):
            return []
        return [self._findings.attempt(check, backend, item.nodeid) for backend in backends_of(item)]

    def _report(self, *, ask: bool) -> Report:
        from flask_sqlalchemy_testbed.plugin import facts  # noqa: PLC0415 - on use

        run = self._config.stash.get(state.RUN, None)
        report: Report = {
            "subject": {
                **facts.subject(self._config),
                **{f"not run on {name}": why for name, why in outage.outages(self._config).items()},
            },
            "software": dict(facts.software()),
            "servers": facts.servers(run, ask=ask) if run else {},
            "checks": self._findings.rows(),
            "made": facts.now(),
            "evidence": self._findings.evidence(),
        }
        return _redact(report)  # type: ignore[no-any-return]


class LastLines:
    """Writes below pytest's own summary, where a long output leaves the reader.

    In a command, whose last line is the count of the checks, it writes above that.
    """

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter

    # Outside the wrapper of pytest's terminal reporter, which writes the summary.
    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, object, object]:
        """Write the advice when all other lines are written."""
        result = yield
        if not in_command() and (terminal := session.config.pluginmanager.get_plugin("terminalreporter")):
            self._reporter.write_last_lines(terminal)
        return result

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Write the advice of a command, whose last line is the count of the checks."""
        if in_command():
            self._reporter.write_last_lines(terminalreporter)


def _unpacked(text: str) -> list[Finding]:
    import json  # noqa: PLC0415 - on use

    return [
        (Check(**{**check, "cases": tuple(check["cases"])}), backend, attempt)
        for check, backend, attempt in json.loads(text)
    ]


def _judge(
    attempt: Attempt, report: pytest.TestReport, raised: pytest.ExceptionInfo[BaseException] | None
) -> None:
    if report.when == "setup":  # Again for a test that another plugin runs a second time.
        attempt["outcome"], attempt["reason"] = Outcome.NOT_RUN, ""
        attempt["seconds"], attempt["failure"] = 0.0, ""
    attempt["seconds"] = round(attempt["seconds"] + report.duration, 6)
    if report.failed or hasattr(report, "wasxfail"):
        # An expected failure is no pass: the claim does not hold.
        has_failed = attempt["outcome"] in {Outcome.FAILED, Outcome.KNOWN_FAILURE}
        known = hasattr(report, KNOWN_MARK)
        if known and (accepted := getattr(report, KNOWN_MARK)):
            attempt["accepted"] = accepted
        attempt["outcome"] = Outcome.KNOWN_FAILURE if known else Outcome.FAILED
        if not has_failed:  # Else its first failure explains more.
            attempt["reason"] = _reason(report) + _by_hook(raised)
        attempt["failure"] += f"{report.longreprtext}\n"
    elif report.skipped:
        # The reason is said once, among the facts about the app.
        met = getattr(report, outage.MARK, None)
        attempt["reason"] = f"{met[0]} could not be used" if met else _reason(report)
    elif report.when == "call" and attempt["outcome"] not in {Outcome.FAILED, Outcome.KNOWN_FAILURE}:
        attempt["outcome"] = Outcome.PASSED


_OPENED = re.compile(rf"\s+(\S+:\d+ in \S+|{TESTBED})")


def _reason(report: pytest.TestReport) -> str:
    """Return the cause in one line."""
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is not None:
        text = crash.message
    elif isinstance(report.longrepr, tuple):
        text = report.longrepr[2]
    else:
        # When a fixture does not exist, pytest names the place first; the cause follows an E.
        lines = report.longreprtext.splitlines()
        text = next((line[1:] for line in lines if line.startswith("E ")), report.longreprtext)
    line, *more = text.strip().splitlines() or [""]
    if more and more[0].startswith("assert "):
        # The message of the assertion, then the values that it compared.
        line += f" ({more[0]})"
    if report.when == "teardown" and "left open: " in line:
        # The lines after the first leak name the code that opened it, the nearest first.
        found = next(filter(None, (_OPENED.fullmatch(one) for one in more)), None)
        line += f", the first opened {'in' if found[1] == TESTBED else 'at'} {found[1]}" if found else ""
    return line if report.when == "call" else f"{report.when}: {line}"


def _by_hook(raised: pytest.ExceptionInfo[BaseException] | None) -> str:
    """Return a clause on the function of the app that raised the error of a failure; may be empty."""
    from flask_sqlalchemy_testbed.subject.raised import by_hook  # noqa: PLC0415 - not for every run

    return by_hook(raised.value) if raised is not None else ""


def _redact(document: Any) -> Any:
    from flask_sqlalchemy_testbed.redaction import redact_all  # noqa: PLC0415 - compiles a long pattern

    return redact_all(document)
