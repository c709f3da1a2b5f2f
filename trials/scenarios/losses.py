"""Connections that cannot be had, or are lost."""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from flask import Response, stream_with_context

from app.database import db_session
from trials.scenarios.scenario import scenario
from trials.stage import one
from trials.tables import Entry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trials.stage import Held, Stage

# How long the one too many waits, long enough to be seen; what it would wait for is the pool's own 30 s.
PATIENCE = 2.0
# More than this is no pool that a page should empty.
MOST = 50


@scenario("empty-pool", "Empty the pool", check="faults.pool-exhausted")
def empty_the_pool(stage: Stage) -> None:
    """A request that no connection is left for is answered 503 in bounded time. When the others have
    ended, all is as before.
    """
    pool: Any = stage.mounted.engine.pool
    room = stage.mounted.pool()
    free = min(MOST, room["size"] + room["most_overflow"] - room["checked_out"])
    held: list[Held] = []
    timeout = pool._timeout  # noqa: SLF001 - for these seconds nobody waits longer
    try:
        for _ in range(free):
            held.append(stage.hold(_stream))
            held[-1].read()
        lent = stage.mounted.pool()["checked_out"]
        stage.fact(f"{free} requests hold {lent} connections: all that there are", holds=lent >= free)
        pool._timeout = PATIENCE  # noqa: SLF001
        began = time.monotonic()
        stage.ask(_ask, expect=HTTPStatus.SERVICE_UNAVAILABLE)
        took = time.monotonic() - began
        stage.fact(f"It waited {took:.1f} s for one", holds=PATIENCE <= took < PATIENCE + 1)
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
    """A request that loses its connection in the middle is told so: 503. Nothing of it is left, and
    the next one has a connection that works.
    """
    killed: list[str] = []

    def view() -> str:
        db_session.add(Entry(name=stage.name("written")))
        db_session.flush()
        # The server tells which session wrote that.
        killed.extend(
            transaction.session
            for transaction in stage.outside.open_transactions(within=0)
            if stage.tag in transaction.detail
        )
        stage.outside.terminate(killed)
        return _ask()

    stage.ask(view, expect=HTTPStatus.SERVICE_UNAVAILABLE)
    stage.fact(f"The server ended its session {', '.join(killed) or '(none)'}", holds=len(killed) == 1)
    stage.stand_committed([])
    stage.ask(_ask)


def _ask() -> str:
    return str(db_session.scalar(one()))


def _stream() -> Response:
    def pieces() -> Iterator[str]:
        while True:
            yield _ask()

    return Response(stream_with_context(pieces()), mimetype="text/plain")
