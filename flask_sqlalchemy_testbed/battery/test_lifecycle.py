"""When a session begins and ends."""

from __future__ import annotations

import contextlib
import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import click
import pytest
from flask import Flask, abort, stream_with_context
from sqlalchemy import inspect, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import object_session
from sqlalchemy.orm.exc import DetachedInstanceError
from werkzeug.test import EnvironBuilder

from flask_sqlalchemy_testbed.battery.tables import Item
from flask_sqlalchemy_testbed.checks.check import check

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy.orm import Session

    from flask_sqlalchemy_testbed.battery.conftest import Trial

WITHIN = 10


FAILURES = {"abort": 404, "nowhere": 404, "error": 500, "handled": 418}


class OddError(Exception):
    """What goes wrong in a view, or at its end."""


def fail(_: object = None) -> None:
    raise OddError


def route(app: Flask, path: str, view: Callable[[], Any]) -> None:
    app.add_url_rule(path, path.strip("/").replace("/", "-"), view)


def write(trial: Trial, name: str = "uncommitted") -> str:
    """Leave a transaction open, with a row in it that nobody committed."""
    trial.session.add(Item(name=name))
    trial.session.flush()
    return "written"


def names(trial: Trial) -> list[str]:
    return list(trial.session.scalars(select(Item.name)))


def ask(app: Flask, path: str) -> Any:
    """What a request is answered with; its status where that is none of success."""
    answer = app.test_client().get(path)
    return answer.json if answer.status_code == 200 else answer.status


def session_of(trial: Trial) -> Session:
    """The real session that the subject's own stands for."""
    trial.session.add(item := Item(name="never flushed"))
    session = object_session(item)
    assert session is not None
    session.expunge(item)
    return session


def start(app: Flask, path: str) -> Iterator[bytes]:
    """Call the app as a server does; neither ask for a chunk nor close."""
    return iter(app.wsgi_app(EnvironBuilder(path).get_environ(), lambda *_: lambda _: None))


def in_a_worker(work: Callable[[], None]) -> None:
    """Run it in a thread of its own, as a server's worker: what it leaves pushed stays there."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(work).result(3 * WITHIN)


@check("lifecycle.request-ends")
def test_request_ends(trial: Trial) -> None:
    app = trial.app()
    route(app, "/testbed/write", lambda: [write(trial), names(trial)])

    assert ask(app, "/testbed/write") == ["written", ["uncommitted"]]
    trial.assert_nothing_open()
    assert trial.names() == [], "uncommitted rows are in the database"


@check("lifecycle.failed-request-ends")
def test_failed_request_ends(trial: Trial) -> None:
    app = trial.app()
    app.before_request(lambda: write(trial) and None)
    app.register_error_handler(OddError, lambda _: ("handled", 418))
    route(app, "/testbed/abort", lambda: abort(404))
    route(app, "/testbed/error", lambda: {}["error"])  # type: ignore[index] # it is not there
    route(app, "/testbed/handled", fail)
    for path, again in [(path, False) for path in FAILURES] + [("error", True)]:
        app.config["PROPAGATE_EXCEPTIONS"] = again
        with contextlib.suppress(KeyError):
            assert app.test_client().get(f"/testbed/{path}").status_code == FAILURES[path]
        trial.assert_nothing_open(after=path)
    assert trial.names() == [], "uncommitted rows are in the database"


@check("lifecycle.context-ends")
def test_context_ends(trial: Trial) -> None:
    with trial.app().app_context():
        write(trial)

    trial.assert_nothing_open()
    assert trial.names() == [], "uncommitted rows are in the database"


@check("lifecycle.async-view")
def test_async_view(trial: Trial) -> None:
    app = trial.app()
    app.before_request(lambda: write(trial) and None)

    @app.get("/testbed/async")
    async def view() -> list[str]:
        return names(trial)

    for _ in range(3):
        assert ask(app, "/testbed/async") == ["uncommitted"], "the view is not in the session of its request"
        trial.assert_nothing_open()


@check("lifecycle.unwrapped-stream")
def test_unwrapped_stream(trial: Trial) -> None:
    app = trial.app()

    def chunks() -> Iterator[str]:
        yield write(trial)

    route(app, "/testbed/stream", chunks)
    body = start(app, "/testbed/stream")
    with contextlib.suppress(RuntimeError):
        list(body)
    body.close()  # type: ignore[attr-defined]

    trial.assert_nothing_open()


@check("lifecycle.held-stream")
def test_held_stream(trial: Trial) -> None:
    app = trial.app()

    def chunks() -> Iterator[str]:
        while True:
            yield str(trial.session.scalar(text("SELECT 1")))

    route(app, "/testbed/stream", lambda: stream_with_context(chunks()))
    route(app, "/testbed/write", lambda: write(trial))
    route(app, "/testbed/names", lambda: names(trial))

    def work() -> None:
        body = start(app, "/testbed/stream")
        try:
            assert next(body) == b"1", "the stream has no session"
            assert app.test_client().get("/testbed/write").text == "written"
            assert ask(app, "/testbed/names") == [], (
                "a request sees the uncommitted rows of one that has ended"
            )
        finally:
            body.close()  # type: ignore[attr-defined]

    in_a_worker(work)
    trial.assert_nothing_open()


@check("lifecycle.failing-teardown")
def test_failing_teardown(trial: Trial) -> None:
    app = trial.app()
    route(app, "/testbed/write", lambda: write(trial))

    app.teardown_appcontext(fail)
    with contextlib.suppress(OddError):
        app.test_client().get("/testbed/write")
    app.teardown_appcontext_funcs.remove(fail)

    trial.assert_nothing_open()


@check("lifecycle.later-context")
def test_later_context(trial: Trial) -> None:
    app = trial.app()

    app.teardown_appcontext(fail)
    inherited = 0
    for _ in range(50):
        with contextlib.suppress(OddError), app.app_context():
            session = session_of(trial)
            inherited += session.info.setdefault("is an earlier one's", False)
            session.info["is an earlier one's"] = True
            del session
    app.teardown_appcontext_funcs.remove(fail)
    gc.collect()

    assert inherited == 0, f"{inherited} of 50 contexts were given the session of an earlier one"


@check("lifecycle.nested-contexts")
def test_nested_contexts(trial: Trial) -> None:
    app = trial.app()
    with app.app_context():
        item = Item(name="pending")
        trial.session.add(item)
        with app.app_context():
            names(trial)

        assert object_session(item) is not None, (
            "the end of the inner context took the object from the session of the outer one"
        )
        trial.session.commit()
    assert trial.names() == ["pending"], "what was pending in the outer context is not committed"


@check("lifecycle.request-inside-context")
def test_request_inside_context(trial: Trial) -> None:
    app = trial.app()
    route(app, "/testbed/write", lambda: write(trial))
    with app.app_context():
        assert app.test_client().get("/testbed/write").text == "written"
        write(trial, "outer")

    trial.assert_nothing_open()
    assert trial.names() == [], "uncommitted rows are in the database"


@check("lifecycle.with-client")
def test_with_client(trial: Trial) -> None:
    app = trial.app()
    route(app, "/testbed/write", lambda: write(trial))
    with app.test_client() as client:
        for _ in range(2):
            assert client.get("/testbed/write").text == "written"
            trial.assert_nothing_open()

    trial.assert_nothing_open()


@check("lifecycle.thread")
def test_thread(trial: Trial) -> None:
    app = trial.app()

    def work() -> None:
        with app.app_context():
            write(trial)

    with ThreadPoolExecutor(1) as thread:
        thread.submit(work).result(WITHIN)

        trial.assert_nothing_open()
    assert trial.names() == [], "uncommitted rows are in the database"


@check("lifecycle.cli-command")
def test_cli_command(trial: Trial) -> None:
    app = trial.app()

    @app.cli.command("testbed-write")
    def command() -> None:
        click.echo(write(trial))

    assert app.test_cli_runner().invoke(args=["testbed-write"]).output == "written\n"
    trial.assert_nothing_open()
    assert trial.names() == [], "uncommitted rows are in the database"


@check("lifecycle.failed-flush")
def test_failed_flush(trial: Trial) -> None:
    app = trial.app()
    route(app, "/testbed/names", lambda: names(trial))

    @app.get("/testbed/twice")
    def twice() -> str:
        write(trial, "once")
        with pytest.raises(IntegrityError):
            write(trial, "once")
        return "swallowed"

    app.test_client().get("/testbed/twice")
    for _ in range(2):
        assert ask(app, "/testbed/names") == [], "after a failed flush another request fails"
        trial.assert_nothing_open()


@check("lifecycle.error-handler")
def test_error_handler(trial: Trial) -> None:
    app = trial.app()

    @app.errorhandler(DBAPIError)
    def handle(_: DBAPIError) -> list[str]:
        trial.session.rollback()
        return names(trial)

    @app.get("/testbed/broken")
    def broken() -> str:
        write(trial)
        trial.session.execute(text("SELECT nothing FROM nowhere"))
        return "executed"

    assert ask(app, "/testbed/broken") == [], "the handler could not use the session after its rollback"
    trial.assert_nothing_open()


@check("lifecycle.detached")
def test_detached(trial: Trial) -> None:
    app = trial.app()
    kept = []

    @app.get("/testbed/keep")
    def keep() -> str:
        kept.append(Item(name="kept"))
        trial.session.add(kept[0])
        trial.session.commit()
        return "kept"

    assert app.test_client().get("/testbed/keep").text == "kept"
    assert inspect(kept[0]).detached, "the object of a request that has ended is still in a session"
    with pytest.raises(DetachedInstanceError):
        kept[0].parts  # noqa: B018 - to read it is the point


@check("lifecycle.handled-error")
def test_handled_error(trial: Trial) -> None:
    app = trial.app()
    app.register_error_handler(OddError, lambda _: ("handled", 200))

    @app.get("/testbed/half")
    def half() -> str:
        write(trial, "half")
        raise OddError

    assert app.test_client().get("/testbed/half").text == "handled"
    assert trial.names() == [], "what the request wrote before its error is committed"


@check("lifecycle.own-session")
def test_own_session(trial: Trial) -> None:
    app = trial.app()
    sessions: list[Session] = []
    together = threading.Barrier(2)

    @app.get("/testbed/session/<int:parties>")
    def view(parties: int) -> str:
        sessions.append(session_of(trial))
        if parties > 1:
            together.wait(WITHIN)
        return "seen"

    def request(parties: int) -> None:
        assert app.test_client().get(f"/testbed/session/{parties}").text == "seen"

    request(1)
    request(1)
    with ThreadPoolExecutor(2) as threads:
        for future in [threads.submit(request, 2) for _ in range(2)]:
            future.result(2 * WITHIN)

    assert len({id(session) for session in sessions}) == len(sessions), (
        f"{len(sessions)} requests have had {len({id(session) for session in sessions})} sessions"
    )


@check("lifecycle.no-stale-object")
def test_no_stale_object(trial: Trial) -> None:
    app = trial.app()
    cache: list[Any] = []

    @app.get("/testbed/item")
    def item() -> str:
        cache.append(trial.session.scalars(select(Item)).one())
        return str(cache[-1].name)

    insert = "INSERT INTO testbed_item (name) VALUES ('old')"
    trial.database.connection.run([insert])
    assert app.test_client().get("/testbed/item").text == "old"
    trial.database.connection.run(["UPDATE testbed_item SET name = 'new'"])

    assert app.test_client().get("/testbed/item").text == "new", (
        "the request was given the object of an earlier one"
    )
