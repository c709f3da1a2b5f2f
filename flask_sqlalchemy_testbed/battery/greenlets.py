"""Make the app under test for gunicorn's gevent worker, with views in which several requests are at once.

The worker patches the standard library before it imports this module: threads, locks and sleeps are gevent's.
"""

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

from flask import stream_with_context
from sqlalchemy import event, text
from sqlalchemy.pool import Pool

from flask_sqlalchemy_testbed.battery import served
from flask_sqlalchemy_testbed.battery.requests import address_of, route
from flask_sqlalchemy_testbed.battery.tables import session_of
from flask_sqlalchemy_testbed.battery.threads import WITHIN

SUCCESS, ERROR, HANG_UP = KINDS = ("success", "error", "hang-up")
# Every pool has room for so many connections by default.
AT_ONCE = len(KINDS)
SESSIONS, WAITS, REPORT = "/testbed/sessions", "/testbed/waits", "/testbed/report"
# A client hangs up in the first of them: the others fill each buffer between the server and the client.
CHUNKS, CHUNK = 500, "x" * 65_536
# Seconds after which another greenlet runs, if the driver lets it run during the query.
TICK = 0.05


def serve() -> Any:
    """Return the app with its views, and at `REPORT` what they noted and how many connections are in use."""
    subject, app, query = served.make()
    app.testing = app.debug = False
    app.config["PROPAGATE_EXCEPTIONS"] = False
    noted: list[dict[str, Any]] = []
    together = threading.Barrier(AT_ONCE, timeout=WITHIN)
    in_use = _connections_in_use()

    def chunks() -> Iterator[str]:
        for _ in range(CHUNKS):
            subject.session.scalar(text("SELECT 1"))
            yield CHUNK
            time.sleep(0.01)

    @route(app, f"{SESSIONS}/<kind>")
    def with_session(kind: str) -> Any:
        session = session_of(subject.session)
        subject.session.scalar(text("SELECT 1"))
        together.wait()
        noted.append(
            {"kind": kind, "session": id(session), "is_kept": session_of(subject.session) is session}
        )
        # No session may end before the others are noted: ids are used again.
        together.wait()
        if kind == ERROR:
            raise RuntimeError(kind)
        return stream_with_context(chunks()) if kind == HANG_UP else kind

    @route(app, f"{WAITS}/<int:parties>")
    def wait(parties: int) -> str:
        if parties > 1:
            together.wait()
        subject.session.connection()
        ticks: list[float] = []

        def tick() -> None:
            time.sleep(TICK)
            ticks.append(TICK)

        threading.Thread(target=tick).start()
        subject.session.execute(text(query))
        noted.append({"ended": time.monotonic(), "yields": bool(ticks)})
        return "waited"

    def application(environ: dict[str, Any], start_response: Any) -> Any:
        if environ["PATH_INFO"] == REPORT:
            start_response("200 OK", [("Content-Type", "application/json")])
            return [json.dumps({"noted": noted, "in_use": len(in_use)}).encode()]
        # The response of the app itself, so that the worker closes it when the client hangs up.
        return app(address_of(app).environ(environ["PATH_INFO"]), start_response)

    return application


def _connections_in_use() -> set[int]:
    """Return a set that holds one number for each connection that is checked out, from now on."""
    in_use: set[int] = set()

    @event.listens_for(Pool, "checkout")
    def add(_connection: object, record: object, _proxy: object) -> None:
        in_use.add(id(record))

    @event.listens_for(Pool, "checkin")
    @event.listens_for(Pool, "detach")
    def discard(_connection: object, record: object) -> None:
        in_use.discard(id(record))

    return in_use
