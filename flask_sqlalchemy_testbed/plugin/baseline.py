"""`--testbed-baseline FILE`: fail the run only for failures that the file does not list.

The first run writes the file. The matrix shows a listed failure as known. An entry whose check passes is
reported: delete it.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from flask_sqlalchemy_testbed.checks.check import check_of
from flask_sqlalchemy_testbed.options import flag
from flask_sqlalchemy_testbed.plugin import outputs, settings
from flask_sqlalchemy_testbed.plugin.failures import LEAK_MARK
from flask_sqlalchemy_testbed.plugin.outage import outages
from flask_sqlalchemy_testbed.plugin.selection import backends_of, unknown_checks

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping
    from pathlib import Path

ABOUT = (
    "Checks of the battery that are known to fail, and their backends. Delete an entry when its check passes;"
    " delete the file to have it written again."
)
# Attributes of a report, which pytest-xdist passes on to the controller.
CELLS, KNOWN_MARK = "testbed_cells", "testbed_known"
FINISHED = {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}


def pytest_configure(config: pytest.Config) -> None:
    """Read the file before any test runs."""
    path = outputs.path_of(config, "baseline")
    if path is None:
        return
    name = settings.setting(config, "baseline")
    if os.environ.get("CI") and not path.exists():
        message = (
            f"{flag('baseline')} {name!r}: there is no such file, and none is written when $CI is set: with a"
            " mistyped name every failure would pass. Write the file on another machine and commit it."
        )
        raise pytest.UsageError(message)
    known = read(path)
    _refuse_unknown(path, known or {})
    config.pluginmanager.register(Baseline(path, known, config), "flask-sqlalchemy-testbed-baseline")


class Baseline:
    """Holds the known failures; `known` is None in the run that writes the file."""

    def __init__(self, path: Path, known: Mapping[str, Iterable[str]] | None, config: pytest.Config) -> None:
        self._path = path
        self._known = known
        self._config = config
        self._failed: set[tuple[str, str]] = set()
        self._passed: set[tuple[str, str]] = set()
        self._lines: list[str] = []

    # Inside the reporter's wrapper, which must see the outcome that this hook sets.
    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Report a known failure to pytest as an expected one."""
        report = yield
        if (check := check_of(item)) is None:
            return report
        cells = [(check.id, backend) for backend in backends_of(item)]
        vars(report)[CELLS] = [list(cell) for cell in cells]
        if report.failed and all(self._is_known(*cell) for cell in cells):
            vars(report).pop(LEAK_MARK, None)
            vars(report)[KNOWN_MARK] = True
            report.outcome = "skipped"
            report.wasxfail = f"known failure, in {self._path.name}"
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note the outcome of each check, also those of workers."""
        cells = {(check, backend) for check, backend in vars(report).get(CELLS, ())}
        if report.failed or hasattr(report, KNOWN_MARK):
            self._failed |= cells
        elif report.when == "call" and report.passed:
            self._passed |= cells

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Write the first file, or find the entries that no longer fail."""
        if hasattr(self._config, "workerinput"):
            return
        if self._known is not None:
            self._lines = [
                f"{check} on {backend} is no longer needed in {self._path.name}: it passes."
                for check, backend in sorted(self._passed - self._failed)
                if backend in self._known.get(check, ())
            ]
            listed = {backend for backends in self._known.values() for backend in backends}
            self._lines += [
                f"{backend} has no entries in {self._path.name}: each failure there counts as new. Name the"
                " backends of the run that wrote the file, or delete the file and write it again on all"
                " backends."
                for backend in sorted({backend for _, backend in self._failed} - listed)
            ]
        elif exitstatus not in FINISHED or outages(self._config):
            self._lines = [f"{self._path.name} was not written: the run was interrupted."]
        elif not self._failed | self._passed:
            self._lines = [f"{self._path.name} was not written: no check was run."]
        elif outputs.write(session, "baseline", lambda: write(self._path, self._failed)):
            number = len(self._failed)
            of = f"{number} known failure{'s' * (number != 1)}"
            if settings.given(self._config, "check"):
                of += (
                    f", of the checks of {flag('check')} alone. For a baseline of all checks, delete it and"
                    f" run again without {flag('check')}"
                )
            self._lines = [f"{self._path.name} written: {of}."]

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print which entries can be deleted, or how many were written."""
        if self._lines:
            terminalreporter.section("baseline")
            for line in self._lines:
                terminalreporter.write_line(line)

    def _is_known(self, check: str, backend: str) -> bool:
        return self._known is None or backend in self._known.get(check, ())


def _refuse_unknown(path: Path, known: Mapping[str, Iterable[str]]) -> None:
    from flask_sqlalchemy_testbed.backends import UnknownBackendError, choose  # noqa: PLC0415 - on use
    from flask_sqlalchemy_testbed.checks.claims import CHECKS  # noqa: PLC0415 - on use

    if unknown := sorted(known.keys() - CHECKS.keys()):
        message = f"{flag('baseline')} {path.name!r}: {unknown_checks(unknown, sorted(CHECKS))}"
        raise pytest.UsageError(message)
    try:
        choose(backend for backends in known.values() for backend in backends)
    except UnknownBackendError as error:
        message = f"{flag('baseline')} {path.name!r}: {error}"
        raise pytest.UsageError(message) from None


def read(path: Path) -> dict[str, list[str]] | None:
    """Return the backends on which each check is known to fail; None when there is no such file."""
    if not path.exists():
        return None
    example = '{"known": {"lifecycle.held-stream": ["sqlite"]}}'
    try:
        known = json.loads(path.read_text(encoding="utf-8"))["known"]
        return {str(check): [str(backend) for backend in list(backends)] for check, backends in known.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        why = f"{type(error).__name__}: {error}"
        message = f"{flag('baseline')} {path.name!r} cannot be read ({why}); it looks like {example}."
        raise pytest.UsageError(message) from None


def write(path: Path, failed: Iterable[tuple[str, str]]) -> None:
    """Write pairs of check and backend, sorted, so that version control shows what has changed."""
    known: dict[str, list[str]] = {}
    for check, backend in sorted(failed):
        known.setdefault(check, []).append(backend)
    document = {"about": ABOUT, "known": known}
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
