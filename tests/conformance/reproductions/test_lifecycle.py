"""A session begins with its context and ends with it."""

import contextlib
import gc
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from flask import stream_with_context
from sqlalchemy import inspect, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import object_session
from werkzeug.test import EnvironBuilder

from plain import Item, make, names, of, outside, pool_of, seen, session, write


def assert_nothing_checked_out(pool: Any, since: str) -> None:
    count = pool.checkedout()
    assert count == 0, f"{count} connection is still checked out after {since}"


def test_request_ends(uri: str) -> None:
    app = make(uri)
    pool = pool_of(app)
    app.add_url_rule("/reproduction/write", view_func=write)
    app.test_client().get("/reproduction/write")

    assert_nothing_checked_out(pool, "the request")


def test_failed_request_ends(uri: str) -> None:
    app = make(uri)
    pool = pool_of(app)
    app.add_url_rule("/reproduction/fail", view_func=lambda: {}[write()])
    app.test_client().get("/reproduction/fail")

    assert_nothing_checked_out(pool, "the failed request")


def test_context_ends(uri: str) -> None:
    app = make(uri)
    pool = pool_of(app)
    with app.app_context():
        write()

    assert_nothing_checked_out(pool, "the context")


def test_async_view(uri: str) -> None:
    app = make(uri)
    pool = pool_of(app)
    app.before_request(lambda: write() and None)

    @app.get("/reproduction/async")
    async def view() -> list[str]:
        return seen()

    found = app.test_client().get("/reproduction/async").json
    assert found == ["uncommitted"], f"the async view reads {found} of the rows that its request has written"
    assert_nothing_checked_out(pool, "the request")


def test_unwrapped_stream(uri: str) -> None:
    app = make(uri)
    pool = pool_of(app)

    def chunks() -> Iterator[str]:
        yield write()

    app.add_url_rule("/reproduction/stream", view_func=chunks)
    with contextlib.suppress(RuntimeError):
        app.test_client().get("/reproduction/stream", buffered=True)

    assert_nothing_checked_out(pool, "the response")


def test_session_options(uri: str) -> None:
    app = make(uri)
    pool = pool_of(app)

    def options() -> str:
        try:
            with_options = session()(expire_on_commit=False)
        except (TypeError, RuntimeError):
            return "refused"
        with_options.add(Item(name="uncommitted"))
        with_options.flush()
        return "written"

    def chunks() -> Iterator[str]:
        yield options()

    app.add_url_rule("/options", view_func=options)
    app.add_url_rule("/stream", view_func=chunks)
    app.test_client().get("/options")
    assert_nothing_checked_out(pool, "a request whose session has options")
    app.test_client().get("/stream", buffered=True)
    assert_nothing_checked_out(pool, "a streamed body whose session has options")


def test_unread_rows(uri: str) -> None:
    app = make(uri)
    pool = pool_of(app)
    outside(uri, "INSERT INTO item (name) VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)")
    # 10^8 rows. The hint has MySQL send the first at once.
    many = "SELECT /*+ NO_BNL() */ a.name FROM " + ", ".join(f"item {alias}" for alias in "abcdefgh")  # noqa: S608

    @app.get("/first")
    def first() -> str:
        return str(session().execute(text(many), execution_options={"yield_per": 10}).scalars().first())

    # A session that the garbage collector would end does not count as ended.
    gc.disable()
    thread = threading.Thread(target=app.test_client().get, args=("/first",), daemon=True)
    thread.start()
    thread.join(5)

    assert not thread.is_alive(), "a request that needs one row of many still reads after 5 s"
    assert_nothing_checked_out(pool, "a request that has read one row of many")


def test_held_stream(uri: str) -> None:
    app = make(uri)

    def chunks() -> Iterator[str]:
        while True:
            yield str(session().scalar(text("SELECT 1")))

    app.add_url_rule("/reproduction/stream", view_func=lambda: stream_with_context(chunks()))
    app.add_url_rule("/reproduction/write", view_func=write)
    app.add_url_rule("/reproduction/seen", view_func=seen)
    body = iter(app.wsgi_app(EnvironBuilder("/reproduction/stream").get_environ(), lambda *_: lambda _: None))
    next(body)
    app.test_client().get("/reproduction/write")

    found = app.test_client().get("/reproduction/seen").json
    assert found == [], f"the request after one that did not commit reads {found}"


def test_failing_teardown(uri: str) -> None:
    app = make(uri)
    pool = pool_of(app)
    app.add_url_rule("/reproduction/write", view_func=write)
    app.teardown_appcontext(fail)
    # A session that the garbage collector would end does not count as ended.
    gc.disable()
    with contextlib.suppress(RuntimeError):
        app.test_client().get("/reproduction/write")
    app.teardown_appcontext_funcs.remove(fail)

    assert_nothing_checked_out(pool, "the request")


def fail(_: object = None) -> None:
    raise RuntimeError


def test_used_in_teardown(uri: str) -> None:
    app = make(uri)
    pool = pool_of(app)

    def use(*_: object, **__: object) -> None:
        seen()

    with app.app_context():
        seen()
    assert_nothing_checked_out(pool, "a context without another callback")
    app.teardown_appcontext_funcs.insert(0, use)
    with app.app_context():
        seen()
    assert_nothing_checked_out(pool, "a context whose first callback, called last, uses the session")


def test_exit(uri: str) -> None:
    app = make(uri)
    pool = pool_of(app)
    with contextlib.suppress(SystemExit), app.app_context():
        write()
        raise SystemExit

    assert_nothing_checked_out(pool, "a context that SystemExit ended")


def test_clean_connection(uri: str) -> None:
    app = make(uri)
    changes = {
        "sqlite": ("PRAGMA recursive_triggers = ON", "PRAGMA recursive_triggers"),
        "postgresql": ("SET lock_timeout = '7s'", "SHOW lock_timeout"),
        "mysql": ("SET @left = 7", "SELECT @left"),
    }
    leave, look = of(uri, changes)

    def execute(statement: str) -> str:
        result = session().execute(text(statement))
        found = str(result.scalar()) if result.returns_rows else ""
        session().commit()
        return found

    app.add_url_rule("/reproduction/leave", endpoint="leave", view_func=lambda: execute(leave))
    app.add_url_rule("/reproduction/look", endpoint="look", view_func=lambda: execute(look))
    before, _, after = (
        app.test_client().get(path).text
        for path in ("/reproduction/look", "/reproduction/leave", "/reproduction/look")
    )

    assert after == before, f"after a request with {leave!r}, {look!r} returns {after} instead of {before}"


def test_later_context(uri: str) -> None:
    app = make(uri)
    app.teardown_appcontext(fail)
    inherited = 0
    for _ in range(50):
        with contextlib.suppress(RuntimeError), app.app_context():
            item = Item(name="never flushed")
            session().add(item)
            its = object_session(item)
            its.expunge(item)
            inherited += its.info.setdefault("used", 0) > 0
            its.info["used"] += 1
            del its
    app.teardown_appcontext_funcs.remove(fail)
    gc.collect()

    assert inherited == 0, "later contexts get the session of a context whose teardown was interrupted"


def test_nested_contexts(uri: str) -> None:
    app = make(uri)
    with app.app_context():
        item = Item(name="pending")
        session().add(item)
        with app.app_context():
            seen()

        assert object_session(item) is not None, "the end of the inner context removed the outer session"


def test_request_inside_context(uri: str) -> None:
    app = make(uri)
    pool = pool_of(app)
    app.add_url_rule("/reproduction/write", view_func=write)
    with app.app_context():
        app.test_client().get("/reproduction/write")

    assert_nothing_checked_out(pool, "the context")


def test_with_client(uri: str) -> None:
    app = make(uri)
    pool = pool_of(app)
    app.add_url_rule("/reproduction/write", view_func=write)
    with app.test_client() as client:
        client.get("/reproduction/write")
        client.get("/reproduction/write")

    assert_nothing_checked_out(pool, "the with-block of the client")


def test_thread(uri: str) -> None:
    app = make(uri)
    pool = pool_of(app)

    def work() -> None:
        with app.app_context():
            write()

    with ThreadPoolExecutor(1) as thread:
        thread.submit(work).result()
        assert_nothing_checked_out(pool, "the thread's context")


def test_cli_command(uri: str) -> None:
    app = make(uri)
    pool = pool_of(app)
    app.cli.command("write")(lambda: print(write()))
    app.test_cli_runner().invoke(args=["write"])

    assert_nothing_checked_out(pool, "the command")


def test_failed_flush(uri: str) -> None:
    app = make(uri)
    pool = pool_of(app)
    app.add_url_rule("/reproduction/seen", view_func=seen)

    @app.get("/reproduction/twice")
    def twice() -> str:
        write("once")
        with contextlib.suppress(IntegrityError):
            write("once")
        return "swallowed"

    app.test_client().get("/reproduction/twice")
    status = app.test_client().get("/reproduction/seen").status_code
    assert status == 200, f"the next request answers {status}"
    assert_nothing_checked_out(pool, "the requests")


def test_error_handler(uri: str) -> None:
    app = make(uri)
    pool = pool_of(app)

    @app.errorhandler(DBAPIError)
    def handle(_: DBAPIError) -> list[str]:
        session().rollback()
        return seen()

    @app.get("/reproduction/broken")
    def broken() -> str:
        session().execute(text("SELECT nothing FROM nowhere"))
        return ""

    assert app.test_client().get("/reproduction/broken").json == []
    assert_nothing_checked_out(pool, "the request")


def test_detached(uri: str) -> None:
    app = make(uri)
    kept = []

    @app.get("/reproduction/keep")
    def keep() -> str:
        kept.append(Item(name="kept"))
        session().add(kept[0])
        session().commit()
        return ""

    app.test_client().get("/reproduction/keep")
    assert inspect(kept[0]).detached, "an object of an ended request is still attached to a session"


def test_own_session(uri: str) -> None:
    app = make(uri)
    used = []

    @app.get("/reproduction/use")
    def use() -> str:
        item = Item(name="never flushed")
        session().add(item)
        used.append(object_session(item))
        used[-1].expunge(item)
        return ""

    app.test_client().get("/reproduction/use")
    app.test_client().get("/reproduction/use")
    assert used[0] is not used[1], "two requests, one after the other, have the same session"


def test_no_stale_object(uri: str) -> None:
    app = make(uri)
    cache = []

    @app.get("/reproduction/name")
    def name() -> str:
        cache.append(session().scalars(select(Item)).one())
        return str(cache[-1].name)

    outside(uri, "INSERT INTO item (name) VALUES ('old')")
    app.test_client().get("/reproduction/name")
    outside(uri, "UPDATE item SET name = 'new'")

    found = app.test_client().get("/reproduction/name").text
    assert found == "new", f"the second request reads {found!r} where 'new' was committed before it"


def test_handled_error(uri: str) -> None:
    app = make(uri)
    app.register_error_handler(RuntimeError, lambda _: ("handled", 200))

    @app.get("/reproduction/half")
    def half() -> str:
        write("half")
        raise RuntimeError

    app.test_client().get("/reproduction/half")
    assert names(uri) == [], "a row that was written before the error is committed"
