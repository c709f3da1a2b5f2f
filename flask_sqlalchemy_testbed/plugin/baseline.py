"""`--testbed-baseline FILE`: what fails today is written down; from then on only what is new fails the run.

A known failure stays in the matrix, as known. An entry whose check holds by now is told: it can go.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from flask_sqlalchemy_testbed.backends.base import Backend
from flask_sqlalchemy_testbed.checks.check import check_of
from flask_sqlalchemy_testbed.plugin import settings, state
from flask_sqlalchemy_testbed.plugin.failures import LEAK_MARK

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping
    from pathlib import Path

ABOUT = (
    "Checks of the battery that are known to fail, and where. Delete an entry when its check holds;"
    " delete the file to have it recorded anew."
)
# Attributes of a report, which are sent to the controller with it.
CELLS, KNOWN_MARK = "testbed_cells", "testbed_known"
FINISHED = {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}


def pytest_configure(config: pytest.Config) -> None:
    """Reads the file, before anything is run."""
    if name := settings.given(config, "baseline"):
        path = config.invocation_params.dir / name
    elif name := settings.setting(config, "baseline"):
        path = config.rootpath / name
    else:
        return
    if not path.parent.is_dir():
        message = f"--testbed-baseline {name!r}: there is no directory {str(path.parent)!r}."
        raise pytest.UsageError(message)
    if os.environ.get("CI") and not path.exists():
        message = (
            f"--testbed-baseline {name!r}: there is no such file, and none is recorded where"
            " $CI is set: a mistyped name would let everything pass. Record it elsewhere, and commit it."
        )
        raise pytest.UsageError(message)
    config.pluginmanager.register(Baseline(path, read(path), config), "testbed-baseline")


class Baseline:
    """What is known to fail; None while that is being recorded."""

    def __init__(self, path: Path, known: Mapping[str, Iterable[str]] | None, config: pytest.Config) -> None:
        self._path = path
        self._known = known
        self._config = config
        self._failed: set[tuple[str, str]] = set()
        self._held: set[tuple[str, str]] = set()
        self._told: list[str] = []

    # Inside the reporter's, which is to see what comes of it.
    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """A known failure fails nothing: pytest counts it as expected."""
        report = yield
        if (check := check_of(item)) is None:
            return report
        cells = [(check.id, backend) for backend in _backends(item)]
        vars(report)[CELLS] = [list(cell) for cell in cells]
        if report.failed and all(self._is_known(*cell) for cell in cells):
            vars(report).pop(LEAK_MARK, None)
            vars(report)[KNOWN_MARK] = True
            report.outcome = "skipped"
            report.wasxfail = f"known failure, in {self._path.name}"
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Those of the workers too, where there are any."""
        cells = {(check, backend) for check, backend in vars(report).get(CELLS, ())}
        if report.failed or hasattr(report, KNOWN_MARK):
            self._failed |= cells
        elif report.when == "call" and report.passed:
            self._held |= cells

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """Writes what is to be recorded, or looks for what is known in vain."""
        if hasattr(self._config, "workerinput"):
            return
        if self._known is not None:
            fixed = sorted(self._held - self._failed)
            self._told = [
                f"{check} on {backend} is no longer needed in {self._path.name}: it holds."
                for check, backend in fixed
                if backend in self._known.get(check, ())
            ]
        elif exitstatus not in FINISHED:
            self._told = [f"{self._path.name} was not written: the run was cut short."]
        elif not self._failed | self._held:
            self._told = [f"{self._path.name} was not written: no check was run."]
        else:
            write(self._path, self._failed)
            self._told = [f"{self._path.name} written: {len(self._failed)} known failures."]

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """What can go, or what was written."""
        if self._told:
            terminalreporter.section("baseline")
            for line in self._told:
                terminalreporter.write_line(line)

    def _is_known(self, check: str, backend: str) -> bool:
        return self._known is None or backend in self._known.get(check, ())


def _backends(item: pytest.Item) -> list[str]:
    """The one that it runs on; all, where a check does not depend on it."""
    callspec = getattr(item, "callspec", None)
    backend = callspec.params.get("testbed_backend") if callspec is not None else None
    if isinstance(backend, Backend):
        return [backend.name]
    return [chosen.name for chosen in item.config.stash[state.BACKENDS]]


def read(path: Path) -> dict[str, list[str]] | None:
    """The backends on which each check is known to fail; None where there is no such file yet."""
    if not path.exists():
        return None
    example = '{"known": {"lifecycle.held-stream": ["sqlite"]}}'
    try:
        known = json.loads(path.read_text(encoding="utf-8"))["known"]
        return {str(check): [str(backend) for backend in list(backends)] for check, backends in known.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        why = f"{type(error).__name__}: {error}"
        message = f"--testbed-baseline {path.name!r} cannot be read ({why}); it looks like {example}."
        raise pytest.UsageError(message) from None


def write(path: Path, failed: Iterable[tuple[str, str]]) -> None:
    """Sorted, so that a change shows as what it is."""
    known: dict[str, list[str]] = {}
    for check, backend in sorted(failed):
        known.setdefault(check, []).append(backend)
    document = {"about": ABOUT, "known": known}
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
