"""Measure `make test-all`, and the tests on each backend alone."""

import os
import subprocess
from functools import partial

from bench.bench import ROOT, Bench
from bench.measurements import Figure, Goal, Row
from bench.sampling import timed
from flask_sqlalchemy_testbed.backends import BACKENDS

CASE, ALL = "make", "test-all"
# Seconds; far more than any of them needs.
WITHIN = 1200
A_FEW = "tests/binding/test_config.py tests/binding/test_engine.py tests/ledger/test_accounts.py"


def measure(bench: Bench) -> Row:
    """Measure each once: together they take most of the benchmark's time."""
    row = Row("test-all", "All tests on all three databases, and on each alone")
    for target in (ALL, *(f"test-{name}" for name in BACKENDS)):
        bench.progress(f"make {target}")
        row.figures.append(Figure(CASE, target, [timed(partial(_make, bench, target))], "s"))
    alone = sum(row.median(CASE, f"test-{name}") for name in BACKENDS)
    row.figures.append(Figure(CASE, "the three, one after the other", [alone], "s"))
    row.goals.append(Goal("test-all, of the three", row.median(CASE, ALL) / alone, 0.6, "times"))
    if bench.quick:
        row.notes.append(f"Quick: only {A_FEW}.")
    return row


def _make(bench: Bench, target: str) -> None:
    few = {"PYTEST_ADDOPTS": A_FEW} if bench.quick else {}
    ended = subprocess.run(
        ["make", target],
        cwd=ROOT,
        env={**os.environ, **few},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=WITHIN,
        check=False,
    )
    if ended.returncode:
        message = f"make {target} failed:\n{ended.stdout[-5000:]}"
        raise RuntimeError(message)
