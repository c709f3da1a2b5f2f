"""`--testbed-baseline FILE`: fail the run only for failures that the file does not list.

The first run writes the file, shows its failures and their causes as a run without the option, and passes. In
later runs the matrix shows a listed failure as known. An entry may expire: from the next
day on, its failure counts. An entry whose check passes is reported: delete it.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import pytest

from flask_sqlalchemy_testbed.checks.check import check_of
from flask_sqlalchemy_testbed.options import flag
from flask_sqlalchemy_testbed.plugin import outputs, settings
from flask_sqlalchemy_testbed.plugin.outage import outages
from flask_sqlalchemy_testbed.plugin.selection import backends_of, unknown_checks

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping
    from pathlib import Path
    from typing import Any

ABOUT = (
    "Checks of the battery that are known to fail, and their backends. Give each the reason; with"
    ' "expires": "2030-12-31" its failure counts after that day. Delete an entry when its check passes;'
    " delete the file to have it written again."
)
NEW_REASON = "It failed in the run that wrote this file."
# Attributes of a report, which pytest-xdist passes on to the controller.
CELLS, KNOWN_MARK = "testbed_cells", "testbed_known"
FINISHED = {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}
PLUGIN = "flask-sqlalchemy-testbed-baseline"


@dataclass(frozen=True, slots=True)
class Entry:
    """A check that is known to fail."""

    backends: tuple[str, ...]
    reason: str = ""
    expires: date | None = None
    """The last day on which the failure is excused; None for no limit."""

    @classmethod
    def read(cls, value: Any) -> Entry:
        """Return the entry that a value of the file describes.

        Args:
            value: A list of backends, or a mapping with `backends` and perhaps `reason` and `expires`.

        Raises:
            ValueError: A key is unknown, or the date is none.
            TypeError, KeyError: The value has another form.
        """
        if isinstance(value, list):
            return cls(tuple(map(str, value)))
        if unknown := sorted(value.keys() - {"backends", "reason", "expires"}):
            message = f"unknown key {', '.join(unknown)}"
            raise ValueError(message)
        expires = value.get("expires")
        return cls(
            tuple(map(str, list(value["backends"]))),
            str(value.get("reason", "")),
            date.fromisoformat(expires) if expires else None,
        )

    @property
    def has_expired(self) -> bool:
        """Return whether its last day has passed, in UTC."""
        return self.expires is not None and self.expires < datetime.now(UTC).date()


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
    config.pluginmanager.register(Baseline(path, known, config), PLUGIN)


def is_first_run(config: pytest.Config) -> bool:
    """Return whether the run has read no file: its failures are known only to later runs."""
    baseline = config.pluginmanager.get_plugin(PLUGIN)
    return isinstance(baseline, Baseline) and baseline.is_first_run


class Baseline:
    """Holds the known failures; `known` is None in the run that writes the file."""

    def __init__(self, path: Path, known: Mapping[str, Entry] | None, config: pytest.Config) -> None:
        self._path = path
        self._known = known
        self._config = config
        self._failed: set[tuple[str, str]] = set()
        self._passed: set[tuple[str, str]] = set()
        self._lines: list[str] = []

    @property
    def is_first_run(self) -> bool:
        """Return whether this run writes the file."""
        return self._known is None

    def _obstacle(self, exitstatus: int) -> str:
        """Return why the first run writes no file; empty if it can."""
        if not self._failed | self._passed:
            return "no check was run"
        if exitstatus not in FINISHED:
            return "the run was interrupted"
        return "a backend could not be used" if outages(self._config) else ""

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
            reason = self._known[check.id].reason if self._known else ""
            vars(report)[KNOWN_MARK] = reason
            report.outcome = "skipped"
            report.wasxfail = f"known failure, in {self._path.name}{f': {reason}' if reason else ''}"
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
                if backend in self._backends(check)
            ]
            self._lines += [
                f"The entry of {check} in {self._path.name} expired on {self._known[check].expires}: mend the"
                " failure, or set a later date."
                for check in sorted(
                    {check for check, backend in self._failed if backend in self._backends(check)}
                )
                if self._known[check].has_expired
            ]
            listed = {backend for entry in self._known.values() for backend in entry.backends}
            self._lines += [
                f"{backend} has no entries in {self._path.name}: each failure there counts as new. Name the"
                " backends of the run that wrote the file, or delete the file and write it again on all"
                " backends."
                for backend in sorted({backend for _, backend in self._failed} - listed)
            ]
            if new := sum(
                backend in listed and backend not in self._backends(check) for check, backend in self._failed
            ):
                are, them = ("failure is", "it") if new == 1 else ("failures are", "them")
                self._lines.append(
                    f"{new} {are} new since {self._path.name} was written. Mend {them}, or delete the file"
                    f" and write it again if you accept {them}."
                )
        elif obstacle := self._obstacle(exitstatus):
            self._lines = [f"{self._path.name} was not written: {obstacle}."]
        elif outputs.write(session, "baseline", lambda: write(self._path, self._failed)):
            of = count(self._failed)
            if settings.given(self._config, "check"):
                of += (
                    f", of the checks of {flag('check')} alone. For a baseline of all checks, delete it and"
                    f" run again without {flag('check')}"
                )
            self._lines = [f"{self._path.name} written: {of}."]

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print which entries can be deleted, or how many were written, after the matrix."""
        if self._lines:
            terminalreporter.section("baseline")
            for line in self._lines:
                terminalreporter.write_line(line)

    def _is_known(self, check: str, backend: str) -> bool:
        if self._known is None:
            return True
        return backend in self._backends(check) and not self._known[check].has_expired

    def _backends(self, check: str) -> tuple[str, ...]:
        """Return the backends that the file lists for a check."""
        return self._known[check].backends if self._known and check in self._known else ()


def _refuse_unknown(path: Path, known: Mapping[str, Entry]) -> None:
    from flask_sqlalchemy_testbed.backends import UnknownBackendError, choose  # noqa: PLC0415 - on use
    from flask_sqlalchemy_testbed.checks.claims import CHECKS  # noqa: PLC0415 - on use

    if unknown := sorted(known.keys() - CHECKS.keys()):
        message = f"{flag('baseline')} {path.name!r}: {unknown_checks(unknown, sorted(CHECKS))}"
        raise pytest.UsageError(message)
    try:
        choose(backend for entry in known.values() for backend in entry.backends)
    except UnknownBackendError as error:
        message = f"{flag('baseline')} {path.name!r}: {error}"
        raise pytest.UsageError(message) from None


def read(path: Path) -> dict[str, Entry] | None:
    """Return the entry of each check that is known to fail; None when there is no such file."""
    if not path.exists():
        return None
    example = (
        '{"known": {"lifecycle.held-stream": {"backends": ["sqlite"], "reason": "...", "expires": null}}}'
    )
    try:
        known = json.loads(path.read_text(encoding="utf-8"))["known"]
        return {str(check): Entry.read(value) for check, value in known.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        why = f"{type(error).__name__}: {error}"
        message = f"{flag('baseline')} {path.name!r} cannot be read ({why}); it looks like {example}."
        raise pytest.UsageError(message) from None


def write(path: Path, failed: Iterable[tuple[str, str]]) -> None:
    """Write pairs of check and backend, sorted, so that version control shows what has changed."""
    known: dict[str, list[str]] = {}
    for check, backend in sorted(failed):
        known.setdefault(check, []).append(backend)
    entries = {check: {"backends": backends, "reason": NEW_REASON} for check, backends in known.items()}
    document = {"about": ABOUT, "known": entries}
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def count(failed: Iterable[tuple[str, str]]) -> str:
    """Return how many entries and known failures a file has.

    Args:
        failed: Pairs of check and backend.
    """
    pairs = list(failed)
    entries, failures = len({check for check, _ in pairs}), len(pairs)
    text = f"{entries} entr{'y' if entries == 1 else 'ies'}, one for each failed check"
    if failures == entries:
        return text
    return f"{text} ({failures} known failures, one for each check and backend)"
