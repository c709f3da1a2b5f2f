"""Measure the cleaning of a database after commits."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from bench.bench import Bench
from bench.cleaning import ALTERNATIVES, DELETE, HARNESS, IN_A_ROW, Cleaner, harness
from bench.measurements import Figure, Goal, Row
from bench.sampling import in_turn, timed
from bench.schema import tables
from flask_sqlalchemy_testbed.backends.connection import Connection
from flask_sqlalchemy_testbed.servers.network import Server

MILLI = 1000
# By the number of tables: the most time that a clean-up takes, in multiples of `DELETE` from all tables.
TIMES = {6: 3.0, 100: 1.0}

# Those of a clean-up on a server, in their order.
STATEMENTS = ("finds the tables that were written to", "empties them")


@dataclass(frozen=True)
class Promise:
    """The goals of one backend."""

    milliseconds: float
    round_trips: int | None = None
    """If no table was written to; None for a file, which needs no round trip."""


PROMISES = {
    "sqlite": Promise(0.3),
    "postgresql": Promise(1.0, round_trips=1),
    "mysql": Promise(1.0, round_trips=1),
}


def measure(bench: Bench) -> Row:
    """Measure all cleaners, with 2 dirty tables of 6 and of 100."""
    row = Row("clean", "A clean database for the next test, after commits to 2 tables")
    for name, server in bench.servers():
        for count in TIMES:
            bench.progress(f"{name}, {count} tables")
            _measure(bench, row, server, count)
    return row


def _measure(bench: Bench, row: Row, server: Server, count: int) -> None:
    case = f"{server.backend.name}, {count} tables"
    metadata = tables(count)
    isolation = bench.run.isolation(server, f"of{count}")
    ours = harness(isolation, metadata)
    cleaners = {HARNESS: ours}
    # On other servers: creating and dropping tables all the time makes a server slower.
    theirs = bench.rivals.servers[server.backend.name]
    for number, (name, make) in enumerate(server.backend.of(ALTERNATIVES).items()):
        uri = bench.uri(theirs, f"of{count}rival{number}", bench.rivals)
        cleaners[name] = make(theirs, uri, metadata)
    with ExitStack() as stack:
        for cleaner in cleaners.values():
            stack.enter_context(closing(cleaner))
        samples = in_turn(
            {name: cleaner.sample for name, cleaner in cleaners.items()},
            rounds=bench.times(30, quick=2),
            seconds=4,
        )
        for name, cleaner in cleaners.items():
            if rows := cleaner.rows():
                message = f"{case}: {name} left {rows} rows."
                raise RuntimeError(message)
            row.figures.append(Figure(case, name, [some * MILLI for some in samples[name]], "ms"))
        trips = _round_trips(ours)
        if server.backend.of(PROMISES).round_trips is not None:
            row.parts += _parts(case, ours, isolation.database.connection, bench.times(30, quick=2))
    promise, taken = server.backend.of(PROMISES), row.median(case, HARNESS)
    row.goals.append(Goal(case, taken, promise.milliseconds, "ms"))
    if promise.round_trips is not None:
        # A file needs no round trips either way, so the two are compared on servers alone.
        times = taken / row.median(case, DELETE)
        row.goals.append(Goal(f"{case}: of {DELETE}", times, TIMES[count], "times"))
        row.goals.append(Goal(f"{case}: round trips if no table is dirty", trips, promise.round_trips, ""))


def _round_trips(cleaner: Cleaner) -> int:
    """Return how many statements the harness sends to find that no table is dirty."""
    cleaner.clean()
    with _statements() as sent:
        cleaner.clean()
    return len(sent)


def _parts(case: str, cleaner: Cleaner, connection: Connection, samples: int) -> list[Figure]:
    """Return the times of the statements of a clean-up, and of a statement that does nothing."""
    parts: dict[str, list[float]] = {name: [] for name in STATEMENTS}
    # A clean-up that meets a busy session, such as that of an autovacuum, looks again: it is left out.
    for _ in range(4 * samples):
        with _statements() as sent:
            cleaner.sample()
        if len(sent) == len(STATEMENTS) * IN_A_ROW:
            for number, name in enumerate(STATEMENTS):
                parts[name] += sent[number :: len(STATEMENTS)]
        if all(len(taken) == samples * IN_A_ROW for taken in parts.values()):
            break
    else:
        message = f"{case}: most clean-ups have other statements than these: {', '.join(STATEMENTS)}."
        raise RuntimeError(message)
    parts["a statement that does nothing"] = [
        timed(partial(connection.rows, "SELECT 1")) for _ in range(samples * IN_A_ROW)
    ]
    return [Figure(case, name, [some * MILLI for some in taken], "ms") for name, taken in parts.items()]


@contextmanager
def _statements() -> Iterator[list[float]]:
    """Collect the seconds of the statements of the harness's own connections; each is one round trip."""
    sent: list[float] = []
    before = Connection.listener

    def listen(_connection: Any, _statement: str, started: float, *_: Any) -> None:
        sent.append(time.monotonic() - started)

    Connection.listener = listen
    try:
        yield sent
    finally:
        Connection.listener = before
