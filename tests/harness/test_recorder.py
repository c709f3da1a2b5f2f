import gc
import json
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from flask import Flask, g
from sqlalchemy import Engine, create_engine, make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from flask_sqlalchemy_testbed.redaction import MAX_LENGTH
from flask_sqlalchemy_testbed.timeline.events import EventKind, as_json
from flask_sqlalchemy_testbed.timeline.recorder import MAX_EVENTS, SPOOL, Recorder

Events = list[dict[str, Any]]


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Recorder]:
    recorder = Recorder(tmp_path)
    recorder.install()
    yield recorder
    recorder.remove()


@pytest.fixture
def engine(database_uri: str) -> Iterator[Engine]:
    engine = create_engine(database_uri)
    # The dialect asks the server about itself only once.
    engine.connect().close()
    engine.dispose()
    yield engine
    engine.dispose()


@pytest.fixture
def app(engine: Engine) -> Flask:
    app = Flask("recorded")

    @app.get("/<column>")
    def select(column: str) -> str:
        g.session = Session(engine)
        return str(g.session.scalar(text(f"SELECT {column}")))

    @app.teardown_appcontext
    def close(_: BaseException | None) -> None:
        g.session.close()

    return app


def events_of(recorder: Recorder) -> Events:
    return as_json(recorder.take(), since=0)


def test_the_life_of_a_session_is_recorded_in_order(app: Flask, recorder: Recorder) -> None:
    app.test_client().get("/4711")
    events = events_of(recorder)

    assert [event["kind"] for event in events] == [
        "context pushed",
        "request started",
        "session begun",
        "connection opened",
        "connection checked out",
        "transaction begun",
        "session connected",
        "statement",
        "request answered",
        "transaction rolled back",
        "connection returned",
        "session closed",
        "context popped",
    ]
    for thing in ("context", "session", "connection"):
        assert {event[thing] for event in events if thing in event} == {1}
    assert [event["text"] for event in events if "request" in event["kind"]] == ["GET /4711", "200 OK"]
    (statement,) = [event for event in events if event["kind"] == "statement"]
    assert (statement["text"], statement["seconds"] > 0) == ("SELECT 4711", True)


def test_failures_are_recorded_as_failed(app: Flask, recorder: Recorder) -> None:
    app.test_client().get("/missing")
    events = events_of(recorder)

    failed = [event["kind"] for event in events if event.get("failed")]
    assert failed == ["statement", "error", "request failed", "request answered"]
    assert all("missing" in event["text"] for event in events if event["kind"] in {"statement", "error"})


def test_threads_contexts_and_connections_have_their_own_numbers(app: Flask, recorder: Recorder) -> None:
    both = threading.Barrier(2, timeout=10)

    @app.before_request
    @app.after_request
    def wait(response: Any = None) -> Any:
        both.wait()
        return response

    threads = [threading.Thread(target=app.test_client().get, args=["/1"], name=name) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    events = events_of(recorder)

    seen = {(event["thread"], event["context"]) for event in events if "context" in event}
    assert sorted(seen) in ([("a", 1), ("b", 2)], [("a", 2), ("b", 1)])
    assert {event["connection"] for event in events if "connection" in event} == {1, 2}


def test_a_nested_context_is_popped_by_its_own_number(app: Flask, recorder: Recorder) -> None:
    with app.app_context():
        g.session = Session()
        with app.app_context():
            g.session = Session()

    assert [(event["kind"], event["context"]) for event in events_of(recorder)] == [
        ("context pushed", 1),
        ("context pushed", 2),
        ("context popped", 2),
        ("context popped", 1),
    ]


def test_a_lost_connection_is_recorded_as_invalidated(engine: Engine, recorder: Recorder) -> None:
    with engine.connect() as connection:
        connection.invalidate()
    with engine.connect():
        pass

    found = [event for event in events_of(recorder) if event["kind"].startswith("connection")]
    assert [f"{event['kind'].removeprefix('connection ')} {event['connection']}" for event in found] == (
        ["opened 1", "checked out 1", "invalidated 1", "closed 1", "opened 2", "checked out 2", "returned 2"]
    )


def test_events_of_a_forked_process_are_taken_too(engine: Engine, recorder: Recorder) -> None:
    with engine.connect() as connection:
        if (child := os.fork()) == 0:
            recorder.record(EventKind.ERROR, connection=connection.connection.dbapi_connection)
            with engine.connect() as another:
                another.execute(text("SELECT 1"))
            os._exit(0)
        os.waitpid(child, 0)

    assert [
        (event["kind"], event["connection"])
        for event in events_of(recorder)
        if event["thread"] == f"MainThread of process {child}" and event["kind"] in {"error", "statement"}
    ] == [("error", 1), ("statement", 2)]


def test_another_process_writes_its_events_to_the_spool(tmp_path: Path, recorder: Recorder) -> None:
    script = """
import os
from sqlalchemy import create_engine, text
from flask_sqlalchemy_testbed.timeline.recorder import record_in_this_process
record_in_this_process()
with create_engine("sqlite://").connect() as connection:
    connection.execute(text("SELECT 4711"))
os._exit(0)
"""
    before = monotonic()
    subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, SPOOL: str(tmp_path)}, check=True, timeout=60
    )
    events = recorder.take()

    assert "SELECT 4711" in [event.text for event in events]
    assert all(before < event.at < monotonic() for event in events)
    assert recorder.take() == []


def test_events_contain_no_password_and_long_statements_lose_their_middle(
    engine: Engine, recorder: Recorder
) -> None:
    secret = create_engine(make_url("postgresql+psycopg2://somebody:geh%2Feim@localhost:1/nowhere"))
    secret.dispose()  # an event with the URL
    with pytest.raises(DBAPIError), secret.connect():
        pass
    said = "SELECT 'postgresql://a:geheim@b/c', 'password=geheim' -- IDENTIFIED BY 'geheim'"
    with engine.connect() as connection:
        connection.execute(text(said.replace(":", "\\:")))
        connection.execute(text(f"SELECT '{'x' * 5000}' AS the_end"))
    events = events_of(recorder)

    written = json.dumps(events)
    assert "somebody" in written
    assert "IDENTIFIED BY ***" in written
    assert "geh" not in written
    (long,) = [event["text"] for event in events if "xxx" in event.get("text", "")]
    assert len(long) < MAX_LENGTH + 10
    assert long.endswith("AS the_end")


def test_the_oldest_events_are_dropped(app: Flask, recorder: Recorder) -> None:
    for _ in range(MAX_EVENTS):
        recorder.record(EventKind.ERROR)
    app.test_client().get("/1")
    events = recorder.take()

    assert len(events) == MAX_EVENTS
    assert events[-1].kind == "context popped"


def test_a_recorder_keeps_no_object_alive(recorder: Recorder) -> None:
    app, engine = Flask("short-lived"), create_engine("sqlite://")
    with app.app_context() as context, Session(engine) as session:
        session.execute(text("SELECT 1"))
    engine.dispose()
    gone = [weakref.ref(thing) for thing in (app, engine, session, context)]
    del app, engine, session, context
    gc.collect()

    assert [reference() for reference in gone] == [None] * 4
    assert recorder.take()


def test_a_removed_recorder_records_nothing(app: Flask, tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    recorder.install()
    recorder.remove()
    app.test_client().get("/1")

    assert recorder.take() == []
