"""A body that is still being sent when its view has returned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Response, stream_with_context
from sqlalchemy import literal, select

from app.database import db_session
from trials.scenarios.scenario import scenario
from trials.stage import one

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trials.stage import Stage

PIECES = 10


@scenario("hang-up", "Stream, and hang up halfway", check="lifecycle.held-stream")
def hang_up(stage: Stage) -> None:
    """A streamed body has its session until it ends, and takes nothing from the requests meanwhile. A
    client that hangs up ends it.
    """
    sent: list[int] = []

    def view() -> Response:
        def pieces() -> Iterator[str]:
            for number in range(1, PIECES + 1):
                sent.append(number)
                yield f"{db_session.scalar(select(literal(number)))}\n"

        return Response(stream_with_context(pieces()), mimetype="text/plain")

    held = stage.hold(view)
    try:
        read = [held.read().strip() for _ in range(PIECES // 2)]
        alive = [session for session in stage.mounted.sessions() if session in stage.tape.sessions]
        stage.fact(f"After {len(read)} of {PIECES} pieces its session is alive", holds=len(alive) == 1)
        del alive
        stage.ask(lambda: str(db_session.scalar(one())))
    finally:
        held.hang_up()
    stage.fact(f"The client hung up; {len(sent)} pieces were made", holds=len(sent) < PIECES)
