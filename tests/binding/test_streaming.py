"""Promise 7, for a streamed body: its session ends with the response."""

import gc
import io
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from contextvars import ContextVar, copy_context
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from flask import Flask, Response, has_app_context, send_file, stream_with_context
from sqlalchemy import text
from werkzeug.test import EnvironBuilder

from app.database import UnboundError, db_session, get_engine, init_engine, live_sessions

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

    def with_options() -> Iterator[str]:
        yield str(db_session(expire_on_commit=False).scalar(text("SELECT 1")))
        yield from chunks()

    app.add_url_rule("/bare", view_func=chunks)
    app.add_url_rule("/with-options", view_func=with_options)
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


@pytest.mark.parametrize("path", ["/bare", "/wrapped", "/with-options"])
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


def test_a_body_that_has_ended_refuses_new_sessions(app: Flask) -> None:
    contexts = []

    @app.get("/copied")
    def copies() -> Iterator[str]:
        contexts.append(copy_context())
        yield "copied"

    with closing(start(app, "/copied")) as body:  # type: ignore[type-var]
        assert list(body) == [b"copied"]
    with pytest.raises(UnboundError, match="The response has ended"):
        contexts[0].run(db_session)

    assert checked_out(app) == len(live_sessions()) == 0


def test_a_middleware_outside_sees_the_context_variables_of_a_view(app: Flask) -> None:
    variable: ContextVar[str] = ContextVar("variable", default="of nobody")

    @app.get("/sets")
    def sets() -> str:
        variable.set("of the view")
        return "set"

    def outside() -> str:
        start(app, "/sets")
        return variable.get()

    assert copy_context().run(outside) == "of the view"


@pytest.mark.parametrize("path", ["/bare", "/wrapped", "/ok"])
def test_a_request_leaves_no_context_on_its_thread(app: Flask, path: str) -> None:
    def outside() -> bool:
        held = start(app, path)
        return bool(held) and has_app_context()

    assert copy_context().run(outside) is False


class Wrapper:
    """A server's ``wsgi.file_wrapper``."""

    def __init__(self, filelike: BinaryIO, size: int = 8192) -> None:
        self.filelike = filelike
        self.size = size

    def __iter__(self) -> Iterator[bytes]:
        return iter(lambda: self.filelike.read(self.size), b"")

    def close(self) -> None:
        self.filelike.close()


def sent_file(app: Flask, view: Callable[[], BinaryIO]) -> Any:
    app.add_url_rule("/file", view_func=lambda: send_file(view(), mimetype="text/plain"))
    environ = {**EnvironBuilder("/file").get_environ(), "wsgi.file_wrapper": Wrapper}
    return app.wsgi_app(environ, lambda *_: lambda _: None)


def test_a_server_receives_its_own_wrapper_of_a_file(app: Flask) -> None:
    # gunicorn calls os.sendfile for it.
    with closing(sent_file(app, lambda: Path(__file__).open("rb"))) as body:
        assert isinstance(body, Wrapper)
        assert not body.filelike.closed


def test_a_file_that_is_no_file_of_the_system_stays_in_the_scope_of_its_response(app: Flask) -> None:
    class Rows(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            db_session.execute(text("SELECT 1"))
            return super().read(size)

    with closing(sent_file(app, lambda: Rows(b"rows"))) as body:
        assert b"".join(body) == b"rows"

    assert checked_out(app) == len(live_sessions()) == 0


def test_a_middleware_inside_that_fails_leaves_no_session() -> None:
    def fail(*_: object) -> Iterable[bytes]:
        db_session.execute(text("SELECT 1"))
        raise ZeroDivisionError

    app = Flask(__name__)
    app.wsgi_app = fail  # type: ignore[method-assign, assignment] # as middleware that is added before init_engine
    engine = init_engine("sqlite://", app=app)
    with pytest.raises(ZeroDivisionError) as raised:
        start(app, "/")

    assert raised.tb
    assert engine.pool.checkedout() == len(live_sessions()) == 0  # type: ignore[attr-defined]
