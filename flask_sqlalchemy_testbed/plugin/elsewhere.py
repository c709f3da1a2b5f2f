"""Name the user's tests that got a database of the run and connected to other databases only.

Their app probably ignores the URI. They are not stopped: what they connect to is their own business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from flask_sqlalchemy_testbed.checks.check import check_of
from flask_sqlalchemy_testbed.plugin import state

if TYPE_CHECKING:
    from collections.abc import Generator

# An attribute of a report, which pytest-xdist passes on to the controller: the fields of `Destinations`.
MARK = "testbed_destinations"
MOST_NAMES = 3
AT_IMPORT = "docs/harness.md#an-app-that-is-made-at-import"


def pytest_configure(config: pytest.Config) -> None:
    """Register the part that counts."""
    config.pluginmanager.register(_Listener(), "flask-sqlalchemy-testbed-elsewhere")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Attach the databases of a test that got one of the run; the app of a check is refused others."""
    report = yield
    if report.when == "teardown" and state.DATABASES in item.stash and check_of(item) is None:
        destinations = state.run_of(item.config).probe.destinations
        others = dict(destinations.others)
        made_by_import = {uri: destinations.made_by_import.get(uri, "") for uri in others}
        vars(report)[MARK] = [destinations.reached_own, others, made_by_import]
    return report


class _Listener:
    def __init__(self) -> None:
        self._any_reached_own = False
        self._elsewhere: list[tuple[str, dict[str, bool]]] = []
        self._made_by_import: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the databases of a test, also those of workers."""
        reached_own, others, made_by_import = vars(report).get(MARK, (False, {}, {}))
        self._made_by_import |= made_by_import
        self._any_reached_own |= reached_own
        if not reached_own:
            self._elsewhere.append((report.nodeid, others))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Write a line for each other database."""
        tests: dict[str, list[str]] = {}
        for test, others in self._elsewhere:
            for uri, is_scratch in others.items():
                # A test may make such a database for itself, but not all tests will.
                if not (is_scratch and self._any_reached_own):
                    tests.setdefault(uri, []).append(test)
        for uri, named in tests.items():
            more = f" and {len(named) - MOST_NAMES} more" if len(named) > MOST_NAMES else ""
            names = f"{', '.join(sorted(named)[:MOST_NAMES])}{more}"
            got = f"{len(named)} test{'s' * (len(named) != 1)} got the URI of a clean database"
            line = (
                f"{got}, but connected only to {uri}: {names}. {_remedy(self._made_by_import.get(uri, ''))}"
            )
            terminalreporter.write_line(line, yellow=True)


def _remedy(module: str) -> str:
    if module:
        return (
            f"The import of {module} makes this engine, so a variable that a test sets has no effect. Import"
            f" the app's modules again for each test, as the fixture in {AT_IMPORT} does."
        )
    return (
        "Have the app use the URI that it is given. If a class of its configuration reads a variable on"
        f" import, set the attribute of the class. For an app that is made on import, see {AT_IMPORT}."
    )
