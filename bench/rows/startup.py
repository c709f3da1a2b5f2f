"""Measure the time until the databases are ready, and the time of a run with one test."""

from collections.abc import Iterator
from functools import lru_cache

from bench import parts, projects
from bench.bench import DATABASES, Bench
from bench.measurements import Figure, Goal, Row
from bench.sampling import in_turn
from flask_sqlalchemy_testbed.servers import recipes

OURS, AGAIN, STOCK = "testbed", "testbed, second run", "testcontainers' own"
HARNESS = "-p", "flask_sqlalchemy_testbed", "--testbed-backend", ",".join(DATABASES)
# The servers of a second run linger from the first one. They do not linger in CI.
LINGER = "--testbed-linger", "120"
NOT_CI = {"CI": ""}


def ready(bench: Bench) -> Row:
    """Measure from `pytest_configure` to the last server."""
    title = "All three databases, from pytest's configure to the last one ready"
    row = Row("ready", title)
    _add_figures(bench, row, "ready", case="ready")
    ours, stock = row.median("ready", OURS), row.median("ready", STOCK)
    row.goals += [
        Goal("ready in a first run", ours, 1.1, "s"),
        Goal(f"as fast as {STOCK}", stock / ours, 6, "times", at_least=True),
    ]
    row.parts += [
        *_phases(bench, OURS),
        *parts.starts(bench),
        *parts.imports(bench, "sqlalchemy.orm", "testcontainers.core.container"),
    ]
    row.notes.append(f"{STOCK}: without the container of its reaper.")
    return row


def one_test(bench: Bench) -> Row:
    """Measure the whole command, also with servers that linger from an earlier run."""
    title = "A run of one test on all three databases, from command to prompt"
    row = Row("one-test", title)
    _add_figures(bench, row, "whole", case="whole run")
    again, stock = row.median("whole run", AGAIN), row.median("whole run", STOCK)
    row.goals += [
        Goal("second run", again, 0.8, "s"),
        Goal(f"second run, as fast as {STOCK}", stock / again, 9, "times", at_least=True),
    ]
    row.parts += [*_phases(bench, AGAIN), *parts.imports(bench, "pytest", "sqlalchemy.orm")]
    return row


def _add_figures(bench: Bench, row: Row, value: str, *, case: str) -> None:
    for contender, timings in _timings(bench).items():
        row.figures.append(Figure(case, contender, [getattr(timing, value) for timing in timings], "s"))


def _phases(bench: Bench, contender: str) -> Iterator[Figure]:
    """Yield the phases of the whole runs, from command to prompt."""
    timings = _timings(bench)[contender]
    for phase in timings[0].phases:
        yield Figure(contender, phase, [timing.phases[phase] for timing in timings], "s")


@lru_cache
def _timings(bench: Bench) -> dict[str, list[projects.Timing]]:
    """Time the runs, once for both rows."""
    timings: dict[str, list[projects.Timing]] = {OURS: [], AGAIN: [], STOCK: []}

    def ours() -> float:
        timings[OURS].append(projects.run("testbed", *HARNESS))
        return timings[OURS][-1].whole

    def again() -> float:
        timings[AGAIN].append(projects.run("testbed", *HARNESS, *LINGER, **NOT_CI))
        return timings[AGAIN][-1].whole

    def stock() -> float:
        timings[STOCK].append(projects.run("stock", **_stock_environment()))
        return timings[STOCK][-1].whole

    # To build its images, compile its modules and start the servers that linger.
    projects.run("testbed", *HARNESS, *LINGER, **NOT_CI)
    contenders = {OURS: ours, AGAIN: again, STOCK: stock}
    in_turn(contenders, rounds=bench.times(7), seconds=30, progress=bench.progress)
    return timings


def _stock_environment() -> dict[str, str]:
    images = {
        backend.recipe.variable: recipes.base_image(backend.recipe)
        for backend in DATABASES.values()
        if backend.recipe is not None
    }
    return {"TESTCONTAINERS_RYUK_DISABLED": "true", **images}
