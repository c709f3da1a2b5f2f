"""Scenarios in which a request gets no connection, or loses it."""

import time
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from flask import Response, stream_with_context

from app.database import db_session
from trials.models import Entry
from trials.scenarios.scenario import scenario
from trials.stage import Held, Stage, one

# Seconds until the pool refuses a connection in this scenario; its default is 30 s.
POOL_TIMEOUT = 2.0
# Larger pools are not emptied completely.
MAX_HELD = 50


@scenario("empty-pool", "Empty the pool", check="faults.pool-exhausted")
def empty_the_pool(stage: Stage) -> None:
    """Make a request while the pool is empty.

    It is answered 503 in bounded time. When the other requests have ended, the pool works as before.
    """
    pool: Any = stage.mounted.engine.pool
    room = stage.mounted.pool()
    free = min(MAX_HELD, room["size"] + room["most_overflow"] - room["checked_out"])
    held: list[Held] = []
    timeout = pool._timeout  # noqa: SLF001 - there is no public way to change it
    try:
        for _ in range(free):
            held.append(stage.hold(_stream))
            held[-1].read()
        lent = stage.mounted.pool()["checked_out"]
        stage.fact(f"{free} requests hold {lent} connections, all of the pool", holds=lent >= free)
        pool._timeout = POOL_TIMEOUT  # noqa: SLF001
        began = time.monotonic()
        stage.ask(_ask, expect=HTTPStatus.SERVICE_UNAVAILABLE)
        took = time.monotonic() - began
        stage.fact(
            f"The next request waited {took:.1f} s for a connection",
            holds=POOL_TIMEOUT <= took < POOL_TIMEOUT + 1,
        )
    finally:
        pool._timeout = timeout  # noqa: SLF001
        for stream in held:
            stream.hang_up()
    stage.ask(_ask)


@scenario(
    "kill-connection",
    "Kill my connection on the server",
    check="faults.lost-in-transaction",
    needs=("server",),
)
def kill_my_connection(stage: Stage) -> None:
    """Terminate a request's connection in a transaction.

    The request is answered 503. None of its rows is committed, and the next request has a connection that
    works.
    """
    killed: list[str] = []

    def view() -> str:
        db_session.add(Entry(name=stage.name("written")))
        db_session.flush()
        # The server lists the statement of each session.
        killed.extend(
            transaction.session
            for transaction in stage.outside.open_transactions(within=0)
            if stage.tag in transaction.detail
        )
        stage.outside.terminate(killed)
        return _ask()

    stage.ask(view, expect=HTTPStatus.SERVICE_UNAVAILABLE)
    stage.fact(f"The server ended its session {', '.join(killed) or '(none)'}", holds=len(killed) == 1)
    stage.expect_committed([])
    stage.ask(_ask)


def _ask() -> str:
    return str(db_session.scalar(one()))


def _stream() -> Response:
    def pieces() -> Iterator[str]:
        while True:
            yield _ask()

    return Response(stream_with_context(pieces()), mimetype="text/plain")
