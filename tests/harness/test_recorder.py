from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import threading
import weakref
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask, g
from sqlalchemy import Engine, create_engine, make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from flask_sqlalchemy_testbed.redaction import MAX_LENGTH
from flask_sqlalchemy_testbed.timeline.events import EventKind, as_json
from flask_sqlalchemy_testbed.timeline.recorder import MAX_EVENTS, SPOOL, Recorder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

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

    @app.get("/works")
    def works() -> str:
        g.session = Session(engine)
        return str(g.session.scalar(text("SELECT 4711")))

    @app.get("/fails")
    def fails() -> str:
        g.session = Session(engine)
        return str(g.session.scalar(text("SELECT missing FROM nowhere")))

    @app.teardown_appcontext
    def close(_: BaseException | None) -> None:
        g.session.close()

    return app


def events_of(recorder: Recorder) -> Events:
    return as_json(recorder.take(), since=0)


def kinds(events: Events) -> list[str]:
    return [event["kind"] for event in events]


def test_the_life_of_a_session_is_recorded_in_order(app: Flask, recorder: Recorder) -> None:
    app.test_client().get("/works")
    events = events_of(recorder)

    assert kinds(events) == [
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
    assert {event["context"] for event in events} == {1}
    assert {event["session"] for event in events if "session" in event} == {1}
    assert {event["connection"] for event in events if "connection" in event} == {1}
    assert [event["text"] for event in events if "request" in event["kind"]] == ["GET /works", "200 OK"]
    (statement,) = [event for event in events if event["kind"] == "statement"]
    assert (statement["text"], statement["seconds"] > 0) == ("SELECT 4711", True)


def test_failures_are_recorded_as_failed(app: Flask, recorder: Recorder) -> None:
    app.test_client().get("/fails")
    events = events_of(recorder)

    failed = [event["kind"] for event in events if event.get("failed")]
    assert failed == ["statement", "error", "request failed", "request answered"]
    assert all("nowhere" in event["text"] for event in events if event["kind"] in {"statement", "error"})


def test_threads_contexts_and_connections_have_their_own_numbers(app: Flask, recorder: Recorder) -> None:
    both = threading.Barrier(2, timeout=10)

    @app.get("/together")
    def together() -> str:
        both.wait()
        answer = works()
        both.wait()
        return answer

    def works() -> str:
        return str(app.view_functions["works"]())

    threads = [threading.Thread(target=app.test_client().get, args=["/together"], name=name) for name in "ab"]
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
    events = events_of(recorder)

    assert [(event["kind"], event["context"]) for event in events] == [
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
    events = events_of(recorder)

    assert [
        (event["kind"], event["connection"]) for event in events if event["kind"].startswith("connection")
    ] == [
        ("connection opened", 1),
        ("connection checked out", 1),
        ("connection invalidated", 1),
        ("connection closed", 1),
        ("connection opened", 2),
        ("connection checked out", 2),
        ("connection returned", 2),
    ]


def test_events_of_a_forked_process_are_taken_too(engine: Engine, recorder: Recorder) -> None:
    with engine.connect() as connection:
        if (child := os.fork()) == 0:
            recorder.record(EventKind.ERROR, connection=connection.connection.dbapi_connection)
            with engine.connect() as another:
                another.execute(text("SELECT 1"))
            os._exit(0)
        os.waitpid(child, 0)
    events = events_of(recorder)

    theirs = [event for event in events if event["thread"] == f"MainThread of process {child}"]
    assert [
        (event["kind"], event["connection"]) for event in theirs if event["kind"] in {"error", "statement"}
    ] == [
        ("error", 1),
        ("statement", 2),
    ]


def test_another_process_writes_its_events_to_the_spool(tmp_path: Path, recorder: Recorder) -> None:
    script = """
from sqlalchemy import create_engine, text
from flask_sqlalchemy_testbed.timeline.recorder import record_in_this_process
record_in_this_process()
with create_engine("sqlite://").connect() as connection:
    connection.execute(text("SELECT 4711"))
import os
os._exit(0)
"""
    environment = {**os.environ, SPOOL: str(tmp_path)}
    before = monotonic()
    subprocess.run([sys.executable, "-c", script], env=environment, check=True, timeout=60)
    events = recorder.take()

    assert "SELECT 4711" in [event.text for event in events]
    assert all(before < event.at < monotonic() for event in events)
    assert recorder.take() == []


def test_events_contain_no_password(engine: Engine, recorder: Recorder) -> None:
    secret = create_engine(make_url("postgresql+psycopg2://somebody:geh%2Feim@localhost:1/nowhere"))
    secret.dispose()
    with pytest.raises(DBAPIError), secret.connect():
        pass
    said = "SELECT 'postgresql://a:geheim@b/c', 'password=geheim' -- IDENTIFIED BY 'geheim'"
    with engine.connect() as connection:
        connection.execute(text(said.replace(":", "\\:")))
    events = json.dumps(events_of(recorder))

    assert "somebody" in events
    assert "IDENTIFIED BY ***" in events
    assert "geh" not in events


def test_a_long_statement_loses_its_middle(engine: Engine, recorder: Recorder) -> None:
    with engine.connect() as connection:
        connection.execute(text(f"SELECT '{'x' * 5000}' AS the_end"))
    (statement,) = [event for event in events_of(recorder) if event["kind"] == "statement"]

    assert len(statement["text"]) < MAX_LENGTH + 10
    assert statement["text"].endswith("AS the_end")


def test_the_oldest_events_are_dropped(app: Flask, recorder: Recorder) -> None:
    for _ in range(MAX_EVENTS):
        recorder.record(EventKind.ERROR)
    app.test_client().get("/works")
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
    app.test_client().get("/works")

    assert recorder.take() == []
