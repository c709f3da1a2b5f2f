"""Limit how long a connection to PostgreSQL waits for an answer."""

from __future__ import annotations

import select
import time
from typing import TYPE_CHECKING, Any

from sqlalchemy import event

if TYPE_CHECKING:
    import psycopg2
    from sqlalchemy import Engine


def limit_waits(engine: Engine, seconds: float) -> None:
    """Limit how long a connection to PostgreSQL waits for an answer.

    Other databases are left alone.

    Only this limit frees a thread from a server that is frozen as a whole, paused or swapped
    out: its kernel still acknowledges data. When the time is over, the connection is closed
    and ``OperationalError`` is raised. Set a limit longer than ``statement_timeout``, or every
    slow statement loses its connection.

    Args:
        engine: The engine whose connections are limited. With psycopg2 the limit applies to
            every connection of the process.
        seconds: The limit for each answer.
    """
    if engine.driver == "psycopg2":
        _limit_psycopg2(seconds)
    elif engine.driver == "psycopg":
        _limit_psycopg(engine, seconds)


def _limit_psycopg2(seconds: float) -> None:
    # Imported here, because the driver is not always installed.
    import psycopg2  # noqa: PLC0415
    from psycopg2.extensions import POLL_OK, POLL_READ, POLL_WRITE, set_wait_callback  # noqa: PLC0415

    def wait(connection: psycopg2.extensions.connection) -> None:
        events = {POLL_READ: select.POLLIN, POLL_WRITE: select.POLLOUT}
        while (state := connection.poll()) != POLL_OK:
            poll = select.poll()
            poll.register(connection.fileno(), events[state])
            if not poll.poll(seconds * 1000):
                raise psycopg2.OperationalError(_no_answer(seconds))

    set_wait_callback(wait)


def _limit_psycopg(engine: Engine, seconds: float) -> None:
    # Imported here, because the driver is not always installed.
    import psycopg  # noqa: PLC0415

    class LimitedConnection(psycopg.Connection[Any]):
        def wait(self, gen: Any, *args: Any, **options: Any) -> Any:
            return super().wait(self._limited(gen), *args, **options)

        def _limited(self, gen: Any) -> Any:
            ready, deadline = None, time.monotonic() + seconds
            try:
                while True:
                    # psycopg sends a false value, ten times a second, while the socket is not ready.
                    ready = yield gen.send(ready)
                    if ready:
                        deadline = time.monotonic() + seconds
                    elif time.monotonic() > deadline:
                        self.close()
                        raise psycopg.OperationalError(_no_answer(seconds))
            except StopIteration as end:
                return end.value

    def connect(_dialect: object, _record: object, args: Any, options: Any) -> Any:
        return LimitedConnection.connect(*args, **options)

    event.listen(engine, "do_connect", connect)


def _no_answer(seconds: float) -> str:
    return f"The server has not answered for {seconds} s."
