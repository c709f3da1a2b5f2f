"""Measure the time until the databases are ready, and the time of a run with one test."""

from functools import lru_cache

from bench import projects
from bench.bench import Bench
from bench.measurements import Figure, Goal, Row
from bench.sampling import in_turn
from flask_sqlalchemy_testbed.backends import BACKENDS
from flask_sqlalchemy_testbed.servers import recipes

OURS, STOCK = "testbed", "testcontainers' own"
HARNESS = "-p", "flask_sqlalchemy_testbed", "--testbed-backend", ",".join(BACKENDS)


def ready(bench: Bench) -> Row:
    """Measure from `pytest_configure` to the last server."""
    title = "All three databases, from pytest's configure to the last one ready"
    row = _row(bench, Row("ready", title), "ready", case="ready", seconds=1.2, times=7)
    row.notes.append(f"{STOCK}: without the container of its reaper.")
    return row


def one_test(bench: Bench) -> Row:
    """Measure the whole command."""
    title = "A run of one test on all three databases, from command to prompt"
    return _row(bench, Row("one-test", title), "whole", case="whole run", seconds=3, times=1)


def _row(  # noqa: PLR0913 - a row with its figures and goals
    bench: Bench, row: Row, value: str, *, case: str, seconds: float, times: float
) -> Row:
    """Add that value of all timings, and the goals for it, to the row."""
    for contender, timings in _timings(bench).items():
        row.figures.append(Figure(case, contender, [getattr(timing, value) for timing in timings], "s"))
    ours, stock = row.median(case, OURS), row.median(case, STOCK)
    row.goals += [
        Goal(case, ours, seconds, "s"),
        Goal(f"as fast as {STOCK}", stock / ours, times, "times", at_least=True),
    ]
    return row


@lru_cache
def _timings(bench: Bench) -> dict[str, list[projects.Timing]]:
    """Time the runs, once for both rows."""
    timings: dict[str, list[projects.Timing]] = {OURS: [], STOCK: []}

    def ours() -> float:
        timings[OURS].append(projects.run("testbed", *HARNESS))
        return timings[OURS][-1].whole

    def stock() -> float:
        timings[STOCK].append(projects.run("stock", **_stock_environment()))
        return timings[STOCK][-1].whole

    projects.run("testbed", *HARNESS)  # To build its images and compile its modules.
    in_turn({OURS: ours, STOCK: stock}, rounds=bench.times(5), seconds=30, progress=bench.progress)
    return timings


def _stock_environment() -> dict[str, str]:
    images = {
        backend.recipe.variable: recipes.base_image(backend.recipe)
        for backend in BACKENDS.values()
        if backend.recipe is not None
    }
    return {"TESTCONTAINERS_RYUK_DISABLED": "true", **images}
