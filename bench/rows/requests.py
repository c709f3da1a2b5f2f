"""One request that reads one row: what a session costs it."""

from __future__ import annotations

from functools import partial
from statistics import median
from typing import TYPE_CHECKING

from bench.requester import requesters
from bench.results import Figure, Goal, Row
from bench.sampling import in_turn
from bench.subjects import (
    BINDING,
    FLASK_ALONE,
    FLASK_SQLALCHEMY,
    FLASK_SQLALCHEMY_LITE,
    IN_MEMORY,
    SESSION_IN_VIEW,
    SUBJECTS,
)

if TYPE_CHECKING:
    from bench.bench import Bench

MICRO = 1e6
# A sample is the mean of so many.
REQUESTS = 50
# A database inside the process keeps nobody waiting: what it takes of the processor is all that it takes,
# and what else runs on the machine is not in it.
WALL, PROCESSOR = "perf_counter", "process_time"
IN_MEMORY_CASE = "sqlite in memory"
BYTECODES_CASE = "sqlite in memory, executed"


def measure(bench: Bench) -> Row:
    """What each adds to Flask alone, on every backend."""
    row = Row("requests", "One request that reads one row: what the session adds to Flask alone")
    cases = {IN_MEMORY_CASE: (PROCESSOR, [IN_MEMORY] * len(SUBJECTS))}
    for name, server in bench.servers():
        clock = PROCESSOR if "embedded" in server.capabilities else WALL
        cases[name] = clock, [bench.uri(server, f"request{number}") for number in range(len(SUBJECTS))]
    for case, (clock, uris) in cases.items():
        added = _added(bench, case, clock, uris)
        for subject, samples in added.items():
            row.figures.append(Figure(case, subject, samples, "µs"))
        ours, session = row.median(case, BINDING), row.median(case, SESSION_IN_VIEW)
        row.goals.append(Goal(f"{case}: of {SESSION_IN_VIEW}", ours / session, 1.05, "times"))
    ours = row.median(IN_MEMORY_CASE, BINDING)
    for rival, limit in {FLASK_SQLALCHEMY: 1.0, FLASK_SQLALCHEMY_LITE: 0.25}.items():
        ratio = ours / row.median(IN_MEMORY_CASE, rival)
        row.goals.append(Goal(f"{IN_MEMORY_CASE}: of {rival}", ratio, limit, "times"))
    for subject, count in _bytecodes().items():
        row.figures.append(Figure(BYTECODES_CASE, subject, [count], "bytecodes"))
    row.notes.append("Bytecodes are the same each time; they are not judged, since C code is not among them.")
    return row


def _bytecodes() -> dict[str, float]:
    """What each executes more than Flask alone."""
    with requesters(list(SUBJECTS), [IN_MEMORY] * len(SUBJECTS)) as processes:
        counts = {subject: asked.bytecodes(REQUESTS) for subject, asked in processes.items()}
    alone = counts.pop(FLASK_ALONE)
    return {subject: count - alone for subject, count in counts.items()}


def _added(bench: Bench, case: str, clock: str, uris: list[str]) -> dict[str, list[float]]:
    """The samples of each but Flask alone, in microseconds over Flask alone.

    Each generation of processes has its objects elsewhere in memory, which alone makes some a few percent
    faster or slower.
    """
    samples: dict[str, list[float]] = {subject: [] for subject in SUBJECTS}
    for generation in range(bench.times(3)):
        bench.tell(f"{case}, generation {generation + 1}")
        with requesters(list(SUBJECTS), uris) as processes:
            taken = in_turn(
                {subject: partial(asked.seconds, REQUESTS, clock) for subject, asked in processes.items()},
                rounds=bench.times(50, quick=10),
                seconds=1.5,
            )
        for subject, some in taken.items():
            samples[subject] += some
    alone = median(samples.pop(FLASK_ALONE))
    return {subject: [(some - alone) * MICRO for some in taken] for subject, taken in samples.items()}
