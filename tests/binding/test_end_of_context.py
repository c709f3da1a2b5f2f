"""Promise 7: when a context ends, its session is rolled back and its connection returned."""

import re
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import click
import pytest
from flask import Flask, abort
from sqlalchemy import event, select, text

from app.database import db_session, live_sessions

from .marker import Marker, checked_out, engine_of

FLASK = tuple(int(part) for part in version("flask").split(".")[:2])


class OddError(Exception):
    pass


# Up to Flask 3.1 the first error of a teardown callback ends them; later versions raise a group of all.
RAISES_ODD_ERROR = pytest.RaisesGroup(OddError, allow_unwrapped=True, flatten_subgroups=True)


@pytest.fixture
def app(make_app: Callable[..., Flask]) -> Flask:
    """Return an app with a pool of one connection: it fails at once if a request keeps it."""
    app = make_app(
        TESTING=True, DATABASE_ENGINE_OPTIONS={"pool_size": 1, "max_overflow": 0, "pool_timeout": 1}
    )

    @app.before_request
    def write() -> None:
        db_session.add(Marker(name="uncommitted"))
        db_session.flush()

    @app.get("/ok")
    def ok() -> str:
        return "ok"

    @app.get("/abort")
    def not_found() -> str:
        abort(404)

    @app.get("/error")
    def error() -> str:
        raise OddError

    return app


def left_behind(app: Flask) -> list[Any]:
    """Return the connections in use, the sessions and the rows that a request has left."""
    with app.app_context():
        rows = list(db_session.scalars(select(Marker.name)))
    return [checked_out(app), len(live_sessions()), rows]


@pytest.mark.parametrize(
    ("path", "status"), [("/ok", 200), ("/abort", 404), ("/nowhere", 404), ("/error", 500)]
)
def test_the_session_ends_with_the_request(app: Flask, path: str, status: int) -> None:
    app.testing = False
    for _ in range(3):
        assert app.test_client().get(path).status_code == status
        assert left_behind(app) == [0, 0, []]


def test_the_session_ends_when_an_error_handler_answers(app: Flask) -> None:
    app.register_error_handler(OddError, lambda _: ("handled", 418))

    assert app.test_client().get("/error").status_code == 418
    assert left_behind(app) == [0, 0, []]


def test_the_session_ends_when_the_error_is_raised_again_under_testing(app: Flask) -> None:
    with pytest.raises(OddError):
        app.test_client().get("/error")
    assert left_behind(app) == [0, 0, []]


@pytest.mark.parametrize("hook", ["teardown_appcontext", "teardown_request"])
def test_the_session_ends_when_another_teardown_callback_raises(app: Flask, hook: str) -> None:
    def fail(_: object) -> None:
        raise OddError

    getattr(app, hook)(fail)
    with RAISES_ODD_ERROR:
        app.test_client().get("/ok")
    del app.teardown_appcontext_funcs[:], app.teardown_request_funcs[None][:]

    assert left_behind(app) == [0, 0, []]


def test_the_session_ends_when_another_teardown_callback_opens_a_new_one(app: Flask) -> None:
    @app.teardown_appcontext
    def open_again(_: object) -> None:
        db_session.execute(text("SELECT 1"))

    app.test_client().get("/ok")

    assert left_behind(app) == [0, 0, []]


def test_another_teardown_callback_still_finds_the_session_of_the_request(app: Flask) -> None:
    seen = []
    app.before_request(lambda: seen.append(db_session()))
    app.teardown_appcontext(lambda _: seen.append(db_session()))
    app.test_client().get("/ok")

    assert seen[0] is seen[1]


def test_teardown_callbacks_receive_the_error(app: Flask) -> None:
    received: list[BaseException | None] = []
    app.teardown_appcontext(received.append)
    app.testing = False
    app.test_client().get("/ok")
    app.test_client().get("/error")
    error = OddError()
    context = app.app_context()
    context.push()
    context.pop(error)

    assert received[0] is None
    assert isinstance(received[1], OddError)
    assert received[2:] == [error]


def test_the_session_ends_with_the_request_of_a_test_client_not_with_its_block(app: Flask) -> None:
    with app.test_client() as client:
        client.get("/ok")
        assert left_behind(app) == [0, 0, []]
        client.get("/ok")
    assert left_behind(app) == [0, 0, []]


def test_the_session_ends_with_a_pushed_context(app: Flask) -> None:
    with app.app_context():
        db_session.add(Marker(name="uncommitted"))
        db_session.flush()
        assert checked_out(app) == 1
    assert left_behind(app) == [0, 0, []]


def test_the_session_ends_with_a_cli_command(app: Flask) -> None:
    @app.cli.command("write")
    def write() -> None:
        db_session.add(Marker(name="uncommitted"))
        db_session.flush()
        click.echo(checked_out(app))

    assert app.test_cli_runner().invoke(args=["write"]).output == "1\n"
    assert left_behind(app) == [0, 0, []]


def test_a_commit_outlives_the_request(app: Flask) -> None:
    @app.get("/commit")
    def commit() -> str:
        db_session.commit()
        return "committed"

    app.test_client().get("/commit")

    assert left_behind(app) == [0, 0, ["uncommitted"]]


def test_a_request_inside_a_pushed_context_shares_its_session_up_to_flask_3_1(app: Flask) -> None:
    seen = []
    app.before_request(lambda: seen.append(db_session()))
    with app.app_context():
        outer = db_session()
        app.test_client().get("/ok")
        assert (seen == [outer]) is (FLASK < (3, 2))
    assert left_behind(app) == [0, 0, []]


def test_a_lost_connection_does_not_fail_the_end_of_its_request(
    app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    @app.get("/dies")
    def dies() -> str:
        # Like a restart of the server: the session notices the loss only at its rollback.
        connection = db_session.connection().connection.dbapi_connection
        assert connection is not None
        connection.close()
        return "answered"

    invalidated = []
    event.listen(engine_of(app), "invalidate", lambda *_: invalidated.append(1))

    assert app.test_client().get("/dies").text == "answered"
    assert left_behind(app) == [0, 0, []]
    (message,) = (
        record.getMessage() for record in caplog.records if record.name == "app.database.bound_session"
    )
    assert re.fullmatch("A session's connection was lost before its rollback: (?!None|%s).+", message)


def test_no_connection_stays_checked_out_when_the_rollback_fails(app: Flask) -> None:
    closed = []

    def fail(_: object) -> None:
        raise OddError

    event.listen(engine_of(app), "close", lambda *_: closed.append(1))
    event.listen(engine_of(app), "rollback", fail)
    with RAISES_ODD_ERROR:
        app.test_client().get("/ok")
    event.remove(engine_of(app), "rollback", fail)

    assert closed == [1]
    assert left_behind(app) == [0, 0, []]


def test_a_teardown_that_is_called_outside_contexts_leaves_the_thread_its_sessions(app: Flask) -> None:
    with app.app_context() as context:
        pass
    app.do_teardown_appcontext(*[context] if FLASK >= (3, 2) else [])  # type: ignore[arg-type] # of Flask 3.2

    assert db_session.scalar(text("SELECT 1")) == 1
