"""Check promises that only bindings like `app.database` make.

`--testbed-promises` runs these checks.

The module of such an app's session also has `init_engine(uri, *, app)`, which binds an app again.
"""

import contextlib
import gc
import threading
from collections.abc import Iterator
from contextvars import copy_context

import pytest
from sqlalchemy import Engine, event, make_url, text
from sqlalchemy.orm import object_session

from flask_sqlalchemy_testbed.battery import tables
from flask_sqlalchemy_testbed.battery.requests import add_view, get, route
from flask_sqlalchemy_testbed.battery.tables import Item
from flask_sqlalchemy_testbed.battery.threads import WITHIN, Task
from flask_sqlalchemy_testbed.battery.trial import Trial
from flask_sqlalchemy_testbed.checks.check import check


@pytest.fixture(autouse=True)
def collect_earlier_apps() -> None:
    """Collect garbage: the engine of an app from an earlier check is live until then."""
    gc.collect()


@check("promises.outside-contexts")
def test_outside_contexts(trial: Trial) -> None:
    app = trial.app()
    trial.commit("shell")

    assert trial.session.get_bind() is trial.engine(app), "the session is not bound to the one live engine"
    assert trial.read() == ["shell"]
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

    assert Task(session_of_a_thread).result() is not own, "two threads share one session"
    assert trial.session() is own, "one thread removed the session of another"
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

    task = Task(work)
    assert held.wait(WITHIN)
    try:
        engine = trial.rebind(app, other)
    finally:
        rebound.set()

    assert task.result() is trial.engine(app) is engine, "the thread and the app use different engines"
    found = trial.committed(), trial.committed(trial.other)
    assert found == ([], []), f"the session on the replaced engine wrote {found}"


@check("promises.rebinding-in-a-block")
def test_rebinding_in_a_block(trial: Trial) -> None:
    app, other = trial.app(), trial.other.uri
    held, rebound = threading.Event(), threading.Event()

    def work() -> None:
        with app.app_context(), trial.session.begin():
            try:
                trial.write("stale")
            finally:
                held.set()
            assert rebound.wait(WITHIN)

    task = Task(work)
    assert held.wait(WITHIN)
    try:
        trial.rebind(app, other)
    finally:
        rebound.set()
        task.ended.wait(WITHIN)

    found = trial.committed(), trial.committed(trial.other)
    assert found == ([], []), f"the block on the replaced engine wrote {found}"
    with pytest.raises(RuntimeError, match="replaced"):
        task.result()


@check("promises.rebinding-disposes")
def test_rebinding_disposes(trial: Trial) -> None:
    app, other = trial.app(), trial.other.uri
    # Referenced: otherwise the garbage collector could close the connections.
    replaced = trial.engine(app)
    before = len(trial.database.sessions())
    with app.app_context():
        assert trial.read() == []
        assert len(trial.database.sessions()) > before, "no connection was opened to the old database"
        assert trial.rebind(app, other) is not replaced

        trial.assert_sessions(before, "in the old database after the rebind")


@check("promises.dispose")
def test_dispose(trial: Trial) -> None:
    app = trial.app()
    # Referenced: otherwise the garbage collector could close its connections.
    pool = trial.engine(app).pool
    before = len(trial.database.sessions())
    with app.app_context():
        assert trial.read() == []
        trial.session.get_bind().dispose()
        assert trial.engine(app).pool is not pool
        assert trial.read() == []
        assert len(trial.database.sessions()) > before

    trial.assert_sessions(before, "after dispose() and the end of the context")


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
            trial.write()
    finally:
        event.remove(trial.session, "after_flush", hear)

    assert heard == [1], f"the listener was called {len(heard)} times for one event"


@check("promises.unwrapped-stream")
def test_unwrapped_stream(trial: Trial) -> None:
    first, last = trial.app(), trial.app(trial.other.uri)

    def chunks() -> Iterator[str]:
        yield str(trial.session.get_bind().url.database)
        yield f"{trial.session.scalar(text('SELECT 1'))}"

    for app, database in ((first, trial.database), (last, trial.other)):
        add_view(app, "/testbed/stream", chunks)
        expected, found = f"{database.url.database}1", get(app, "/testbed/stream")
        assert found == expected, f"the body has no session on its app's engine: {found}, not {expected}"
        trial.assert_nothing_open()


@check("promises.defaults")
def test_defaults(trial: Trial) -> None:
    app = trial.app()

    @route(app, "/testbed/options")
    def options() -> list[object]:
        trial.session.add(item := Item(name="pending"))
        session = object_session(item)
        assert session is not None
        seen = trial.session.scalar(text("SELECT count(*) FROM testbed_item"))
        return [seen, session.autoflush, session.expire_on_commit]

    found = get(app, "/testbed/options")
    assert found == [1, True, True], f"[rows of raw SQL, autoflush, expire_on_commit] is {found}"


@check("promises.in-memory")
def test_in_memory(trial: Trial) -> None:
    app = trial.app("sqlite://")
    tables.Base.metadata.create_all(trial.engine(app))

    def begin_and_roll_back() -> None:
        with app.app_context():
            # Without a query: newer versions of SQLite do not read while another connection writes.
            trial.session.connection()

    def read() -> list[str]:
        with app.app_context():
            return trial.read()

    with app.app_context():
        trial.write("kept")
        Task(begin_and_roll_back).result()
        trial.session.commit()

    found = Task(read).result()
    assert found == ["kept"], f"another thread read {found}, not the committed row"


@check("promises.bare-scheme")
def test_bare_scheme(trial: Trial) -> None:
    url = make_url(trial.database.uri)
    for scheme in trial.database.backend.schemes:
        app = trial.app(url.set(drivername=scheme).render_as_string(hide_password=False))

        driver = trial.engine(app).driver
        assert driver == url.get_driver_name(), f"{scheme}:// means {driver}, which is not installed"


@check("promises.outliving-thread")
def test_outliving_thread(trial: Trial) -> None:
    app, ended, tasks = trial.app(), threading.Event(), []

    def outlive() -> None:
        assert ended.wait(WITHIN)
        with contextlib.suppress(RuntimeError):
            trial.write()

    def view() -> str:
        # As asyncio.to_thread does, and each new thread of a free-threaded Python 3.14.
        context = copy_context()
        tasks.append(Task(lambda: context.run(outlive)))
        return trial.write("of the request")

    add_view(app, "/testbed/view", view)
    assert get(app, "/testbed/view") == "written"
    trial.assert_nothing_open("before the thread went on")
    ended.set()
    tasks[0].result()

    trial.assert_nothing_open()
