"""The binding can be observed: its live engines, its sessions, and the end of each session."""

import gc
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.database import db_session, init_engine, live_engines, live_sessions, session_removed

from .marker import checked_out, engine_of


@pytest.fixture
def removed(app: Flask) -> Iterator[list[Session]]:
    """Collect the sessions of ``app`` that the signal announces."""
    sessions: list[Session] = []

    def collect(_engine: object, session: Session) -> None:
        sessions.append(session)

    with session_removed.connected_to(collect, sender=engine_of(app)):
        yield sessions


def test_session_removed_is_sent_when_a_context_ends(app: Flask, removed: list[Session]) -> None:
    with app.app_context():
        session = db_session()
        assert removed == []

    assert removed == [session]


def test_session_removed_is_sent_when_a_streamed_response_ends(app: Flask, removed: list[Session]) -> None:
    used: list[object] = []

    @app.get("/stream")
    def stream() -> Iterator[str]:
        used.append(db_session())
        yield "streamed"

    app.test_client().get("/stream").close()

    assert removed == used
    assert len(used) == 1


@pytest.mark.usefixtures("app")
def test_session_removed_is_sent_when_a_thread_removes_its_session(removed: list[Session]) -> None:
    session = db_session()
    db_session.remove()
    db_session.remove()

    assert removed == [session]


def test_session_removed_is_sent_after_the_connection_is_back(app: Flask) -> None:
    seen: list[Any] = []

    def look(engine: object, session: Session) -> None:
        seen.append((engine is engine_of(app), session.in_transaction(), checked_out(app), live_sessions()))

    with session_removed.connected_to(look), app.app_context():
        db_session.execute(text("SELECT 1"))

    assert seen == [(True, False, 0, [])]


def test_no_session_removed_is_sent_for_a_context_without_a_session(
    app: Flask, removed: list[Session]
) -> None:
    with app.app_context():
        pass

    assert removed == []


def test_session_removed_holds_its_receivers_weakly() -> None:
    def receive(_engine: object, session: Session) -> None: ...

    session_removed.connect(receive)
    del receive

    assert not list(session_removed.receivers_for(None))


def test_live_engines_are_those_of_all_apps_and_of_none(
    make_app: Callable[..., Flask], database_uri: str, other_database_uri: str
) -> None:
    apps = make_app(), make_app(other_database_uri)
    without_app = init_engine(database_uri)

    assert set(live_engines()) == {*map(engine_of, apps), without_app}


def test_an_engine_is_live_until_it_is_replaced(app: Flask, other_database_uri: str) -> None:
    new = init_engine(other_database_uri, app=app)

    assert live_engines() == [new]


def test_an_engine_is_live_until_it_is_disposed_of_and_again_when_it_connects(app: Flask) -> None:
    engine = engine_of(app)
    for _ in range(2):
        engine.dispose()
        assert live_engines() == []

    engine.connect().close()

    assert live_engines() == [engine]


def test_a_replaced_engine_that_connects_again_is_not_live(app: Flask, other_database_uri: str) -> None:
    replaced = engine_of(app)
    new = init_engine(other_database_uri, app=app)
    replaced.connect().close()

    assert live_engines() == [new]
    replaced.dispose()
    assert live_engines() == [new]


def test_live_engines_are_not_kept_alive_by_the_binding(make_app: Callable[..., Flask]) -> None:
    make_app()
    gc.collect()

    assert live_engines() == []


def test_live_sessions_are_those_of_all_contexts_and_threads(app: Flask) -> None:
    ready, done = threading.Event(), threading.Event()
    sessions: list[Session] = []

    def work() -> None:
        sessions.append(db_session())
        ready.set()
        assert done.wait(10)
        db_session.remove()

    thread = threading.Thread(target=work)
    thread.start()
    assert ready.wait(10)
    with app.app_context():
        sessions.append(db_session())
        assert set(live_sessions()) == set(sessions)
    assert live_sessions() == sessions[:1]
    done.set()
    thread.join(10)

    assert live_sessions() == []
