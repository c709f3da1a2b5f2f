"""Measure the same tests once, twice and four times.

The difference is the cost of a test; the rest is the fixed cost of a run.
"""

from functools import partial
from statistics import linear_regression

from bench import projects
from bench.bench import Bench
from bench.measurements import Figure, Goal, Row
from bench.rows.startup import HARNESS
from bench.sampling import in_turn

COPIES = 1, 2, 4
CASE = "60 tests"


def measure(bench: Bench) -> Row:
    """Fit a line through the three runs."""
    row = Row("growth", "The same 60 tests once, twice and four times", along="times")
    timings: dict[int, list[projects.Timing]] = {copies: [] for copies in COPIES}

    def sample(copies: int) -> float:
        timing = projects.run("growth", *HARNESS, BENCH_COPIES=str(copies))
        timings[copies].append(timing)
        return timing.whole

    in_turn(
        {f"{copies} times": partial(sample, copies) for copies in COPIES},
        rounds=bench.times(3),
        seconds=30,
        progress=bench.progress,
    )
    for name, value in {"whole run": "whole", "the tests alone": "tests"}.items():
        for copies in COPIES:
            samples = [getattr(timing, value) for timing in timings[copies]]
            row.figures.append(Figure(CASE, name, samples, "s", at=copies))
    wholes = [row.median(CASE, "whole run", at=copies) for copies in COPIES]
    slope, constant = linear_regression(COPIES, wholes)
    bend = max(
        abs(whole - (constant + slope * copies)) / whole for copies, whole in zip(COPIES, wholes, strict=True)
    )
    own = linear_regression(COPIES, [row.median(CASE, "the tests alone", at=copies) for copies in COPIES])[0]
    row.goals += [
        Goal("farthest from a straight line", bend * 100, 10, "%"),
        Goal("slope, of the tests' own", slope / own, 1.1, "times"),
        Goal("constant", constant, 3, "s"),
    ]
    return row
