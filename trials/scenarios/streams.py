"""A scenario with a response that is sent after its view returned."""

from collections.abc import Iterator

from flask import Response, stream_with_context
from sqlalchemy import literal, select

from app.database import db_session
from trials.scenarios.scenario import scenario
from trials.stage import Stage, one

CHUNKS = 10


@scenario("hang-up", "Stream, and hang up halfway", check="lifecycle.held-stream")
def hang_up(stage: Stage) -> None:
    """Stream a body.

    Its session stays open until the body ends, and affects no other request. A client that disconnects
    halfway ends both.
    """
    sent: list[int] = []

    def view() -> Response:
        def pieces() -> Iterator[str]:
            for number in range(1, CHUNKS + 1):
                sent.append(number)
                yield f"{db_session.scalar(select(literal(number)))}\n"

        return Response(stream_with_context(pieces()), mimetype="text/plain")

    held = stage.hold(view)
    try:
        read = [held.read().strip() for _ in range(CHUNKS // 2)]
        alive = [session for session in stage.mounted.sessions() if session in stage.tape.sessions]
        stage.fact(f"After {len(read)} of {CHUNKS} chunks its session is open", holds=len(alive) == 1)
        del alive
        stage.ask(lambda: str(db_session.scalar(one())))
    finally:
        held.hang_up()
    stage.fact(f"The client disconnected; {len(sent)} chunks were made", holds=len(sent) < CHUNKS)
