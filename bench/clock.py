"""A pytest plugin (`-p bench.clock`) that measures how long the servers, the tests and each phase took.

It writes {"ready": s, "tests": s, "phases": {name: s}} to the file that `BENCH_CLOCK` names: the time from
`pytest_configure` until the last server was ready, the time of all tests, and the time of each phase of the
run. `BENCH_BEGAN` is the `time.monotonic()` at which the command was started: that clock is system-wide.
"""

import json
import os
import time
from collections.abc import Generator
from itertools import pairwise
from pathlib import Path

import pytest

# The fixtures that start the servers: the harness's, and that of the stock containers.
SERVERS = {"testbed_server", "stock_uri"}


class _Clock:
    began = ready = 0.0
    tests = 0.0
    # The end of each phase.
    ends: dict[str, float] = {}  # noqa: RUF012 - one process measures one run


def _end(phase: str) -> None:
    _Clock.ends[phase] = time.monotonic()


# The command names this plugin first.
_end("interpreter and pytest")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Start the clock, and write the file after the clean-up of all other plugins."""
    _end("plugins")
    _Clock.began = _Clock.ready = time.monotonic()
    config.add_cleanup(_write)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionstart() -> Generator[None]:
    """Note when the servers of the command line are ready."""
    _end("configuration")
    yield
    _end("servers")


def pytest_collection_finish() -> None:
    """Note the end of the collection."""
    _end("collection")


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[object]) -> Generator[None, object, object]:
    """Note when the last server was ready."""
    result = yield
    if fixturedef.argname in SERVERS:
        _Clock.ready = time.monotonic()
    return result


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Add up set-up, call and teardown of each test."""
    _Clock.tests += report.duration


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish() -> None:
    """Note the end of the tests."""
    _end("tests")


def _write() -> None:
    _end("clean-up")
    times = [float(os.environ["BENCH_BEGAN"]), *_Clock.ends.values()]
    phases = [after - before for before, after in pairwise(times)]
    figures = {
        "ready": _Clock.ready - _Clock.began,
        "tests": _Clock.tests,
        "phases": dict(zip(_Clock.ends, phases, strict=True)),
    }
    Path(os.environ["BENCH_CLOCK"]).write_text(json.dumps(figures), encoding="utf-8")
