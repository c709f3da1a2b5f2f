"""A pytest plugin (`-p bench.clock`) that measures how long the servers and the tests took.

It writes {"ready": s, "tests": s} to the file that `BENCH_CLOCK` names: the time from `pytest_configure`
until the last server was ready, and the time of all tests.
"""

import json
import os
import time
from collections.abc import Generator
from pathlib import Path

import pytest

# The fixtures that start the servers: the harness's, and that of the stock containers.
SERVERS = {"testbed_server", "stock_uri"}


class _Clock:
    began = ready = time.perf_counter()
    tests = 0.0


@pytest.hookimpl(tryfirst=True)
def pytest_configure() -> None:
    """Start the clock."""
    _Clock.began = time.perf_counter()


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[object]) -> Generator[None, object, object]:
    """Note when the last server was ready."""
    result = yield
    if fixturedef.argname in SERVERS:
        _Clock.ready = time.perf_counter()
    return result


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Add up set-up, call and teardown of each test."""
    _Clock.tests += report.duration


def pytest_unconfigure() -> None:
    """Write the file."""
    figures = {"ready": _Clock.ready - _Clock.began, "tests": _Clock.tests}
    Path(os.environ["BENCH_CLOCK"]).write_text(json.dumps(figures), encoding="utf-8")
