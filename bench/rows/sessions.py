"""Measure the time and memory of a thousand sessions in threads and in contexts."""

import gc
import threading
import tracemalloc
from collections.abc import Callable
from functools import partial
from itertools import pairwise

from flask import Flask
from sqlalchemy import text

from app.database import db_session, init_engine, live_sessions
from bench.bench import Bench
from bench.measurements import Figure, Goal, Row
from bench.sampling import timed

SESSIONS = 1000
MICRO = 1e6
# The interpreter's caches vary by about this; a leak of one object would be 16 times as much.
MAX_BYTES = 1.0


def measure(bench: Bench) -> Row:
    """Measure threads and contexts on every backend."""
    row = Row("sessions", f"{SESSIONS:,} sessions made and removed")
    for name, server in bench.servers():
        app = Flask(f"{name}_sessions")
        engine = init_engine(bench.uri(server, "sessions"), app=app)
        for kind, make in {"contexts": _contexts, "threads": _threads}.items():
            bench.progress(f"{name}, {kind}")
            _measure(bench, row, f"{name}, {kind}", partial(make, app))
        engine.dispose()
    return row


def _measure(bench: Bench, row: Row, case: str, make: Callable[[], None]) -> None:
    make()  # Caches are filled by the first call.
    times = [timed(make) for _ in range(bench.times(3))]
    row.figures.append(Figure(case, "app/database", [seconds / SESSIONS * MICRO for seconds in times], "µs"))
    # The minimum: a leak is in every sample.
    grown = min(_growth(make, bench.times(4, quick=2)))
    row.goals += [
        Goal(f"{case}: left in memory by each", grown / SESSIONS, MAX_BYTES, "bytes"),
        Goal(f"{case}: left in the registry", len(live_sessions()), 0, "sessions"),
    ]


def _growth(make: Callable[[], None], times: int) -> list[int]:
    """Return the bytes that each of so many calls allocated and did not free."""
    tracemalloc.start()
    try:
        held = []
        for _ in range(times + 1):
            make()
            gc.collect()
            held.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    return [after - before for before, after in pairwise(held)]


def _contexts(app: Flask) -> None:
    for _ in range(SESSIONS):
        with app.app_context():
            db_session.execute(text("SELECT 1"))


def _threads(_app: Flask) -> None:
    # Outside contexts, sessions use the one live engine.
    def work() -> None:
        db_session.execute(text("SELECT 1"))
        db_session.remove()

    for _ in range(SESSIONS):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
