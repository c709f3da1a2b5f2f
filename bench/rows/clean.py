"""A clean database for the next test, after real commits."""

from __future__ import annotations

from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.cleaning import ANEW, HARNESS, RIVALS, Way, harness
from bench.results import Figure, Goal, Row
from bench.sampling import in_turn
from bench.tables import tables
from flask_sqlalchemy_testbed.backends.connection import Connection

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.bench import Bench
    from flask_sqlalchemy_testbed.servers.network import Server

MILLI = 1000
SIZES = 6, 100


@dataclass(frozen=True)
class Promise:
    """Of one backend."""

    milliseconds: float
    times: int | None = None
    """As fast as making all tables anew."""
    round_trips: int | None = None
    """Where nothing is dirty; a database that is a file is no trip away."""


PROMISES = {
    "sqlite": Promise(0.3),
    "postgresql": Promise(1.0, times=20, round_trips=1),
    "mysql": Promise(1.0, times=40, round_trips=1),
}


def measure(bench: Bench) -> Row:
    """Each way, with 2 dirty tables of 6 and of 100."""
    row = Row("clean", "A clean database for the next test, after commits to 2 tables")
    for name, server in bench.servers():
        for count in SIZES:
            bench.tell(f"{name}, {count} tables")
            _measure(bench, row, server, count)
    return row


def _measure(bench: Bench, row: Row, server: Server, count: int) -> None:
    case = f"{server.backend.name}, {count} tables"
    metadata = tables(count)
    ours = harness(bench.run.isolation(server, f"of{count}"), metadata)
    ways = {HARNESS: ours}
    # A server that has its tables made and dropped all the time is slower for everybody.
    theirs = bench.rivals.servers[server.backend.name]
    for number, (rival, make) in enumerate(RIVALS[server.backend.name].items()):
        uri = bench.uri(theirs, f"of{count}rival{number}", bench.rivals)
        ways[rival] = make(theirs, uri, metadata)
    with ExitStack() as stack:
        for way in ways.values():
            stack.enter_context(closing(way))
        samples = in_turn(
            {name: way.sample for name, way in ways.items()},
            rounds=bench.times(30, quick=2),
            seconds=4,
        )
        for name, way in ways.items():
            if rows := way.rows():
                message = f"{case}: {name} has left {rows} rows."
                raise RuntimeError(message)
            row.figures.append(Figure(case, name, [some * MILLI for some in samples[name]], "ms"))
        trips = _round_trips(ours)
    promise, taken = PROMISES[server.backend.name], row.median(case, HARNESS)
    row.goals.append(Goal(case, taken, promise.milliseconds, "ms"))
    if promise.times is not None:
        times = row.median(case, ANEW) / taken
        row.goals.append(Goal(f"{case}: as fast as {ANEW}", times, promise.times, "times", at_least=True))
    if promise.round_trips is not None:
        row.goals.append(Goal(f"{case}: round trips where nothing is dirty", trips, promise.round_trips, ""))


def _round_trips(way: Way) -> int:
    """How often the harness asks the server anything, to find that there is nothing to do."""
    way.clean()
    with _statements() as sent:
        way.clean()
    return len(sent)


@contextmanager
def _statements() -> Iterator[list[str]]:
    """What the harness's own connections send, which no pool sees; each is one round trip."""
    sent: list[str] = []
    before = Connection.listener

    def listen(_connection: Any, statement: str, *_: Any) -> None:
        sent.append(statement)

    Connection.listener = listen
    try:
        yield sent
    finally:
        Connection.listener = before
