"""What only this repository's binding promises; a subject opts in with --testbed-promises.

Beside its session such a subject has `init_engine(uri, *, app)`, which binds an app anew.
"""

from __future__ import annotations

import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import event, make_url, select, text
from sqlalchemy.orm import object_session

from flask_sqlalchemy_testbed.battery import tables
from flask_sqlalchemy_testbed.battery.tables import Item
from flask_sqlalchemy_testbed.checks.check import check

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

    from flask_sqlalchemy_testbed.battery.conftest import Trial

WITHIN = 10


@pytest.fixture(autouse=True)
def no_engine_of_an_earlier_test() -> None:
    """An app that a test before this one dropped counts as live until it is collected."""
    gc.collect()


def names(trial: Trial) -> list[str]:
    return list(trial.session.scalars(select(Item.name)))


def in_a_thread(work: object) -> object:
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(work).result(2 * WITHIN)  # type: ignore[arg-type]


@check("promises.outside-contexts")
def test_outside_contexts(trial: Trial) -> None:
    app = trial.app()
    trial.session.add(Item(name="shell"))
    trial.session.commit()

    assert trial.session.get_bind() is trial.engine(app), "the session is not on the one live engine"
    assert names(trial) == ["shell"]
    trial.session.remove()
    trial.assert_nothing_open()


@check("promises.thread-local")
def test_thread_local(trial: Trial) -> None:
    trial.app()
    own = trial.session()

    def session_of_a_thread() -> object:
        try:
            return trial.session()
        finally:
            trial.session.remove()

    assert in_a_thread(session_of_a_thread) is not own, "two threads have one session"
    assert trial.session() is own, "the thread's session was removed by another"
    trial.session.remove()


@check("promises.several-engines")
def test_several_engines(trial: Trial) -> None:
    trial.app()
    trial.app(trial.other.uri)

    with pytest.raises(RuntimeError, match=r"app_context\(\)"):
        trial.session.execute(text("SELECT 1"))
    trial.session.remove()


@check("promises.unbound")
def test_unbound(trial: Trial) -> None:
    factory = trial.subject.app_path.rpartition(":")[2]

    with pytest.raises(RuntimeError, match=rf"{factory}\("):
        trial.session.execute(text("SELECT 1"))
    trial.session.remove()


@check("promises.rebinding")
def test_rebinding(trial: Trial) -> None:
    app, other = trial.app(), trial.other.uri
    held, rebound = threading.Event(), threading.Event()

    def work() -> Engine:
        try:
            trial.session.add(Item(name="stale"))
        finally:
            held.set()
        assert rebound.wait(WITHIN)
        with pytest.raises(RuntimeError):
            trial.session.commit()
        trial.session.remove()
        bound: Engine = trial.session.get_bind()
        trial.session.remove()
        return bound

    with ThreadPoolExecutor(1) as thread:
        answer = thread.submit(work)
        assert held.wait(WITHIN)
        try:
            engine = trial.rebind(app, other)
        finally:
            rebound.set()

        assert answer.result(2 * WITHIN) is trial.engine(app) is engine, (
            "the thread and the app are not on the same engine"
        )
    assert (trial.names(), trial.names(trial.other)) == ([], []), "the stale session has written"


@check("promises.rebinding-disposes")
def test_rebinding_disposes(trial: Trial) -> None:
    app, other = trial.app(), trial.other.uri
    # Kept, so that the collector does not do what rebinding should.
    replaced = trial.engine(app)
    before = len(trial.database.sessions())
    with app.app_context():
        assert names(trial) == []
        assert len(trial.database.sessions()) > before, "no connection was opened to the old database"
        assert trial.rebind(app, other) is not replaced

        assert trial.sessions_come_down_to(before), (
            f"{len(trial.database.sessions())} sessions are left in the old database; {before} were there"
        )


@check("promises.dispose")
def test_dispose(trial: Trial) -> None:
    app = trial.app()
    # Kept, so that the collector does not close what is in it.
    pool = trial.engine(app).pool
    before = len(trial.database.sessions())
    with app.app_context():
        assert names(trial) == []
        trial.session.get_bind().dispose()
        assert trial.engine(app).pool is not pool
        assert names(trial) == []
        assert len(trial.database.sessions()) > before

    assert trial.sessions_come_down_to(before), (
        f"{len(trial.database.sessions())} sessions are left after dispose(); {before} were there before"
    )


@check("promises.listeners")
def test_listeners(trial: Trial) -> None:
    app, other = trial.app(), trial.other.uri
    heard = []

    def hear(*_: object) -> None:
        heard.append(1)

    event.listen(trial.session, "after_flush", hear)
    try:
        for uri in (other, trial.database.uri):
            trial.rebind(app, uri)
        with app.app_context():
            trial.session.add(Item(name="heard"))
            trial.session.flush()
    finally:
        event.remove(trial.session, "after_flush", hear)

    assert heard == [1], f"an event that happened once was heard {len(heard)} times"


@check("promises.unwrapped-stream")
def test_unwrapped_stream(trial: Trial) -> None:
    first, last = trial.app(), trial.app(trial.other.uri)

    def chunks() -> Iterator[str]:
        yield str(trial.session.get_bind().url.database)
        yield f"{trial.session.scalar(text('SELECT 1'))}"

    for app, database in ((first, trial.database), (last, trial.other)):
        app.add_url_rule("/testbed/stream", "testbed-stream", chunks)
        assert app.test_client().get("/testbed/stream").text == f"{database.url.database}1", (
            "the body has no session on its app's engine"
        )
        trial.assert_nothing_open()


@check("promises.defaults")
def test_defaults(trial: Trial) -> None:
    app = trial.app()

    @app.get("/testbed/options")
    def options() -> list[object]:
        trial.session.add(item := Item(name="pending"))
        session = object_session(item)
        assert session is not None
        seen = trial.session.scalar(text("SELECT count(*) FROM testbed_item"))
        return [seen, session.autoflush, session.expire_on_commit]

    assert app.test_client().get("/testbed/options").json == [1, True, True], (
        "rows that raw SQL sees of one pending, autoflush, expire_on_commit"
    )


@check("promises.in-memory")
def test_in_memory(trial: Trial) -> None:
    app = trial.app("sqlite://")
    tables.Base.metadata.create_all(trial.engine(app))

    def begin_and_roll_back() -> None:
        with app.app_context():
            # No statement: to read what another has written to, newer SQLite would have to wait.
            trial.session.connection()

    def look() -> list[str]:
        with app.app_context():
            return names(trial)

    with app.app_context():
        trial.session.add(Item(name="kept"))
        trial.session.flush()
        in_a_thread(begin_and_roll_back)
        trial.session.commit()

    assert in_a_thread(look) == ["kept"], "another thread does not see what is committed"


@check("promises.bare-scheme")
def test_bare_scheme(trial: Trial) -> None:
    url = make_url(trial.database.uri)
    for scheme in trial.database.backend.schemes:
        app = trial.app(url.set(drivername=scheme).render_as_string(hide_password=False))

        assert trial.engine(app).driver == url.get_driver_name(), (
            f"{scheme}:// does not mean the driver installed"
        )
