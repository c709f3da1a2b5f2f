"""A pytest plugin (`-p bench.clock`) that writes down when the databases were ready, and what the tests took.

Into the file that `BENCH_CLOCK` names: {"ready": s, "tests": s}, `ready` counted from pytest's configure.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

# What hands out the servers: ours, and that of the stock containers.
SERVERS = {"server", "stock_uri"}


class _Clock:
    began = ready = time.perf_counter()
    tests = 0.0


@pytest.hookimpl(tryfirst=True)
def pytest_configure() -> None:
    """Begins."""
    _Clock.began = time.perf_counter()


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[object]) -> Generator[None, object, object]:
    """The last of them counts."""
    result = yield
    if fixturedef.argname in SERVERS:
        _Clock.ready = time.perf_counter()
    return result


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Each test's set-up, call and end."""
    _Clock.tests += report.duration


def pytest_unconfigure() -> None:
    """Writes it down."""
    figures = {"ready": _Clock.ready - _Clock.began, "tests": _Clock.tests}
    Path(os.environ["BENCH_CLOCK"]).write_text(json.dumps(figures), encoding="utf-8")
