"""Start pairs of servers for the tests, and write the figures of all rounds into the docs."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from flask_sqlalchemy_testbed.backends import BACKENDS
from flask_sqlalchemy_testbed.plugin import state
from flask_sqlalchemy_testbed.servers.pairs import Pair
from tests.failover.figures import Figures, write

FIGURES = pytest.StashKey[list[Figures]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rounds", type=int, default=1, help="how often each test lets a primary fail")
    parser.addoption("--figures", type=Path, help="the page into which the figures are written")


@pytest.fixture
def rounds(pytestconfig: pytest.Config) -> range:
    return range(pytestconfig.getoption("rounds"))


@pytest.fixture
def start_pair(pytestconfig: pytest.Config) -> Iterator[Callable[..., tuple[Pair, float]]]:
    """Return a function that starts a pair and measures how long that takes.

    The pair before is removed first, and the last one at the end of the test.
    """
    with ExitStack() as last:

        def start(backend: str, *, synchronous: bool = True) -> tuple[Pair, float]:
            last.close()
            began = time.monotonic()
            pair = state.run_of(pytestconfig).start_pair(BACKENDS[backend], synchronous=synchronous)
            last.callback(pair.close)
            return pair, time.monotonic() - began

        yield start


@pytest.fixture
def report_figures(pytestconfig: pytest.Config) -> Callable[[Figures], None]:
    return pytestconfig.stash.setdefault(FIGURES, []).append


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    found = config.stash.get(FIGURES, [])
    for figures in found:
        terminalreporter.write_line(" | ".join(figures.row))
    page = config.getoption("figures")
    if page is not None and found and not terminalreporter.stats.get("failed"):
        write(page, found)
