"""Measure the battery on a small app, by its command: on SQLite, and on three databases side by side."""

import json
import sys
from collections import Counter
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.bench import DATABASES, ROOT, Bench
from bench.measurements import Figure, Goal, Row
from bench.sampling import in_turn, processor_time, succeed, timed

CASE = "polls"
APP = ROOT / "tests" / "applications" / CASE
COMMAND = Path(sys.executable).with_name("flask-sqlalchemy-testbed")
# The checks that this app is known to fail are part of the time.
BASELINE = "--baseline", "testbed-baseline.json"
SQLITE, ALL = "sqlite", ",".join(DATABASES)
# Seconds.
GOALS = {SQLITE: 5.0, ALL: 40.0}
WITHIN = 600
SLOWEST = 5


def measure(bench: Bench) -> Row:
    """Measure both by the command, and each server alone as a part."""
    row = Row("battery", "The battery on a small app, by the command flask-sqlalchemy-testbed")
    spent: dict[str, list[float]] = {}
    checks: dict[str, Counter[str]] = {}
    taken = in_turn(
        {backends: partial(_run, backends, spent, checks) for backends in (SQLITE, ALL)},
        rounds=bench.times(3),
        seconds=150,
        progress=bench.progress,
    )
    for backends, limit in GOALS.items():
        row.figures.append(Figure(CASE, backends, taken[backends], "s"))
        row.goals.append(Goal(backends, row.median(CASE, backends), limit, "s"))
        row.parts.append(Figure(backends, "processor time, the servers' left out", spent[backends], "s"))
        for check, seconds in checks[backends].most_common(SLOWEST):
            row.parts.append(Figure(backends, check, [seconds], "s"))
    for backend in DATABASES:
        if backend != SQLITE:
            bench.progress(f"{backend} alone")
            row.parts.append(Figure(f"{backend} alone", "whole run", [_run(backend, spent, checks)], "s"))
    return row


def _run(backends: str, spent: dict[str, list[float]], checks: dict[str, Counter[str]]) -> float:
    """Return the seconds of a run; add its processor time to `spent`, and note the seconds of its checks."""
    with TemporaryDirectory() as report:
        before = processor_time()
        seconds = timed(partial(_command, backends, report))
        spent.setdefault(backends, []).append(processor_time() - before)
        evidence = json.loads(Path(report, "evidence.json").read_text(encoding="utf-8"))["evidence"]
    checks[backends] = Counter()
    for check, by_backend in evidence.items():
        for backend, outcomes in by_backend.items():
            checks[backends][f"{check} on {backend}"] = sum(outcome["seconds"] for outcome in outcomes)
    return seconds


def _command(backends: str, report: str) -> None:
    words = [str(COMMAND), CASE, *BASELINE, "--backend", backends, "--report", report]
    succeed(words, APP, WITHIN)
