"""Promise 7, for a streamed body: its session ends with the response."""

import gc
from collections.abc import Callable, Iterator

import pytest
from flask import Flask, Response, stream_with_context
from sqlalchemy import text
from werkzeug.test import EnvironBuilder

from app.database import db_session, get_engine, init_engine, live_sessions

from .marker import checked_out, engine_of


@pytest.fixture
def app(make_app: Callable[..., Flask]) -> Flask:
    app = make_app(DATABASE_ENGINE_OPTIONS={"pool_size": 2, "max_overflow": 0, "pool_timeout": 1})

    def chunks() -> Iterator[str]:
        for _ in range(3):
            assert db_session.get_bind() is engine_of(app) is get_engine()
            yield str(db_session.scalar(text("SELECT 1")))

    def failing() -> Iterator[str]:
        yield str(db_session.scalar(text("SELECT 1")))
        raise ZeroDivisionError

    def wrapped() -> Iterator[str]:
        return stream_with_context(chunks())

    def ok() -> str:
        return str(db_session.scalar(text("SELECT 1")))

    app.add_url_rule("/bare", view_func=chunks)
    app.add_url_rule("/wrapped", view_func=wrapped)
    app.add_url_rule("/failing", view_func=failing)
    app.add_url_rule("/ok", view_func=ok)
    return app


def start(app: Flask, path: str) -> Iterator[bytes]:
    """Call the app as a server does, without reading the first chunk."""
    return iter(app.wsgi_app(EnvironBuilder(path).get_environ(), lambda *_: lambda _: None))


def test_a_close_callback_of_a_response_is_called_once(app: Flask) -> None:
    closed = []

    @app.get("/closing")
    def closing() -> Response:
        response = Response("ok")
        response.call_on_close(lambda: closed.append(1))
        return response

    body = start(app, "/closing")
    body.close()  # type: ignore[attr-defined]
    del body
    gc.collect()

    assert closed == [1]


@pytest.mark.parametrize("path", ["/bare", "/wrapped"])
def test_a_streamed_body_has_a_session_until_it_ends(app: Flask, path: str) -> None:
    body = start(app, path)
    assert next(body) == b"1"
    assert checked_out(app) == 1
    assert list(body) == [b"1", b"1"]

    assert checked_out(app) == 0
    body.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("path", ["/bare", "/wrapped"])
def test_a_client_that_disconnects_leaves_no_session(app: Flask, path: str) -> None:
    body = start(app, path)
    next(body)
    body.close()  # type: ignore[attr-defined]

    assert checked_out(app) == len(live_sessions()) == 0


@pytest.mark.parametrize("path", ["/bare", "/wrapped"])
def test_a_body_that_is_dropped_leaves_no_session(app: Flask, path: str) -> None:
    body = start(app, path)
    next(body)
    del body
    gc.collect()

    assert checked_out(app) == len(live_sessions()) == 0


def test_a_body_that_fails_leaves_no_session(app: Flask) -> None:
    body = start(app, "/failing")
    next(body)
    with pytest.raises(ZeroDivisionError):
        next(body)

    assert checked_out(app) == len(live_sessions()) == 0


def test_an_unwrapped_body_leaves_the_session_of_the_thread_alone(app: Flask) -> None:
    session = db_session()
    app.test_client().get("/bare").close()

    assert db_session() is session


def test_an_unwrapped_body_leaves_the_session_of_an_outer_context_alone(app: Flask) -> None:
    with app.app_context():
        session = db_session()
        app.test_client().get("/bare").close()

        assert db_session() is session


@pytest.mark.parametrize("path", ["/bare", "/wrapped"])
def test_while_a_body_stays_open_later_requests_still_end_their_sessions(app: Flask, path: str) -> None:
    teardowns: list[object] = []
    app.teardown_appcontext(teardowns.append)
    held = start(app, path)
    next(held)
    for _ in range(5):
        teardowns.clear()
        assert app.test_client().get("/ok").text == "1"
        assert teardowns
        assert checked_out(app) == 1

    held.close()  # type: ignore[attr-defined]
    assert checked_out(app) == 0


def test_a_body_without_close_is_accepted() -> None:
    app = Flask(__name__)
    app.wsgi_app = lambda *_: [b"as it is"]  # type: ignore[method-assign] # middleware may answer with a list
    init_engine("sqlite://", app=app)
    body = start(app, "/")

    assert list(body) == [b"as it is"]
    body.close()  # type: ignore[attr-defined]
