"""Promise 6: in a context, the session belongs to that context object."""

import gc
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context

from flask import Flask, copy_current_request_context, current_app
from flask.testing import FlaskClient
from sqlalchemy import create_engine, select, text

from app.database import db_session, live_sessions
from app.database.bindings import Binding
from app.database.bound_session import BoundSession
from app.database.sessions import BoundScopedSession, BoundSessionmaker

from .marker import Marker, checked_out, engine_of


def test_a_context_has_one_session(app: Flask) -> None:
    with app.app_context():
        assert db_session() is db_session()


def test_nested_contexts_do_not_share_or_remove_each_others_session(app: Flask) -> None:
    with app.app_context():
        outer = db_session()
        marker = Marker(name="pending")
        outer.add(marker)
        with app.app_context():
            assert db_session() is not outer
            assert not db_session.new
        assert db_session() is outer
        assert marker in db_session.new


def test_a_context_never_finds_the_session_of_an_earlier_context(app: Flask) -> None:
    # Python uses the address of each deleted context again at once.
    for _ in range(50):
        context = app.app_context()
        context.push()
        session = db_session()
        assert not session.info
        session.info["seen"] = True
        current_app.do_teardown_appcontext = lambda *_: None  # type: ignore[method-assign]
        context.pop()
        del session
        del context
    gc.collect()


def test_a_thread_in_a_copied_context_has_a_session_of_its_own(app: Flask) -> None:
    with app.test_request_context():
        session = db_session()

        @copy_current_request_context
        def other() -> bool:
            return db_session() is session

        # In an empty context: Flask 3.1 gives a request inside a pushed context that same context.
        with ThreadPoolExecutor(1) as thread:
            assert thread.submit(Context().run, other).result() is False


def test_an_async_view_gets_the_session_of_its_context(make_app: Callable[..., Flask]) -> None:
    app = make_app(DATABASE_ENGINE_OPTIONS={"pool_size": 1, "max_overflow": 0, "pool_timeout": 2})
    threads = set()

    @app.get("/async")
    async def view() -> dict[str, bool]:
        threads.add(threading.get_ident())
        db_session.execute(text("SELECT 1"))
        return {"same": db_session() is before[-1]}

    before: list[object] = []
    app.before_request(lambda: before.append(db_session()))
    client = app.test_client()
    for _ in range(10):
        assert client.get("/async").json == {"same": True}
        assert checked_out(app) == 0

    assert threading.get_ident() not in threads


def test_a_request_does_not_see_uncommitted_rows_of_the_request_before(
    app: Flask, client: FlaskClient
) -> None:
    @app.get("/add")
    def add() -> str:
        db_session.add(Marker(name="uncommitted"))
        db_session.flush()
        return "added"

    app.add_url_rule("/list", view_func=lambda: list(db_session.scalars(select(Marker.name))))
    client.get("/add")

    assert client.get("/list").json == []


def test_a_session_ends_with_its_thread(app: Flask) -> None:
    def leave_session_behind() -> None:
        db_session.execute(text("SELECT 1"))

    gc.disable()
    try:
        for _ in range(20):
            thread = threading.Thread(target=leave_session_behind)
            thread.start()
            thread.join()

        assert checked_out(app) == len(live_sessions()) == 0
    finally:
        gc.enable()


def test_a_second_scoped_session_has_sessions_of_its_own(app: Flask) -> None:
    second = BoundScopedSession(BoundSessionmaker(class_=BoundSession))
    with app.app_context():
        assert second(autoflush=False) is second() is not db_session()
        assert second.get_bind() is engine_of(app)
        assert not second.autoflush
        second.remove()
        assert second().autoflush
        second.remove()


def test_the_session_factory_makes_a_session_of_the_current_app(
    make_app: Callable[..., Flask], other_database_uri: str
) -> None:
    app, other = make_app(), make_app(other_database_uri)
    for expected in (app, other):
        with expected.app_context(), db_session.session_factory() as session:
            assert session.get_bind() is engine_of(expected)


def test_the_session_factory_accepts_another_binding_until_it_is_bound_to_none(
    app: Flask, other_database_uri: str
) -> None:
    binding = Binding()
    binding.bind(engine := create_engine(other_database_uri))
    with app.app_context(), db_session.session_factory(binding=binding) as session:
        assert session.get_bind() is engine
    binding.bind(None)

    assert db_session.get_bind() is engine_of(app)
