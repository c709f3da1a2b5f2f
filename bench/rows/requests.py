"""Measure the time that a session adds to a request that reads one row."""

from functools import partial
from statistics import median

from bench.bench import Bench
from bench.contenders import (
    BINDING,
    CONTENDERS,
    FLASK_ALONE,
    FLASK_SQLALCHEMY,
    FLASK_SQLALCHEMY_LITE,
    IN_MEMORY,
    OPENS,
    SESSION_IN_VIEW,
)
from bench.measurements import Figure, Goal, Row
from bench.requester import requesters
from bench.sampling import in_turn

MICRO = 1e6
# A sample is the mean of this number of requests.
REQUESTS = 50
# An in-process database never waits, so its processor time is its whole time; it does not include other
# processes of the machine.
WALL, PROCESSOR = "perf_counter", "process_time"
IN_MEMORY_CASE = "sqlite in memory"
# The most time of a request, in multiples of one with `with Session(engine)`, by the clock.
LIMITS = {PROCESSOR: 1.10, WALL: 1.05}


def measure(bench: Bench) -> Row:
    """Measure each contender on every backend."""
    row = Row("requests", "One request that reads one row: what the session adds to Flask alone")
    cases = {IN_MEMORY_CASE: (PROCESSOR, [IN_MEMORY] * len(CONTENDERS))}
    for name, server in bench.servers():
        clock = PROCESSOR if "embedded" in server.capabilities else WALL
        cases[name] = clock, [bench.uri(server, f"request{number}") for number in range(len(CONTENDERS))]
    for case, (clock, uris) in cases.items():
        added, opened = _added(bench, case, clock, uris)
        for contender, samples in added.items():
            row.figures.append(Figure(case, contender, samples, "µs"))
        for contender, samples in opened.items():
            row.parts.append(Figure(case, f"{contender}: no statement", samples, "µs"))
        ours, session = row.median(case, BINDING), row.median(case, SESSION_IN_VIEW)
        row.goals.append(Goal(f"{case}: of {SESSION_IN_VIEW}", ours / session, LIMITS[clock], "times"))
    ours = row.median(IN_MEMORY_CASE, BINDING)
    for rival, limit in {FLASK_SQLALCHEMY: 1.0, FLASK_SQLALCHEMY_LITE: 0.25}.items():
        ratio = ours / row.median(IN_MEMORY_CASE, rival)
        row.goals.append(Goal(f"{IN_MEMORY_CASE}: of {rival}", ratio, limit, "times"))
    return row


def _added(
    bench: Bench, case: str, clock: str, uris: list[str]
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Return the microseconds that each contender adds to Flask alone, and those of an unused session.

    Several generations of processes are measured: the addresses of their objects differ, which makes
    processes a few percent faster or slower.
    """
    reads: dict[str, list[float]] = {contender: [] for contender in CONTENDERS}
    opens: dict[str, list[float]] = {contender: [] for contender in (BINDING, SESSION_IN_VIEW, FLASK_ALONE)}
    for generation in range(bench.times(3)):
        bench.progress(f"{case}, generation {generation + 1}")
        with requesters(list(CONTENDERS), uris) as processes:
            # The part comes last: Python specializes bytecode for the requests that a process gets.
            for path, samples in {"/": reads, OPENS: opens}.items():
                taken = in_turn(
                    {name: partial(processes[name].seconds, REQUESTS, clock, path) for name in samples},
                    rounds=bench.times(50, quick=10),
                    seconds=1.5,
                )
                for contender, found in taken.items():
                    samples[contender] += found
    return _without_flask(reads), _without_flask(opens)


def _without_flask(samples: dict[str, list[float]]) -> dict[str, list[float]]:
    """Return the microseconds that each contender adds to the median of Flask alone."""
    alone = median(samples.pop(FLASK_ALONE))
    return {contender: [(some - alone) * MICRO for some in taken] for contender, taken in samples.items()}
