"""A session uses the database of its app."""

import gc
import os
import sys
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import event, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import object_session
from sqlalchemy.pool import Pool

from plain import Base, Item, add, make, names, of, outside, seen, session
from proxies import ClosedProxy

PASSWORD = "p@s/s:%#?"
SET_PASSWORD = {
    "postgresql": "ALTER ROLE CURRENT_USER PASSWORD '{}'",
    "mysql": "SET PASSWORD = '{}'",
    "mariadb": "SET PASSWORD = PASSWORD('{}')",
}


def test_two_apps(uri: str, other_uri: str) -> None:
    first, last = make(uri), make(other_uri)
    add(first, "first")
    add(last, "last")

    found = names(uri), names(other_uri)
    assert found == (["first"], ["last"]), f"the two apps' databases hold {found[0]} and {found[1]}"


def test_app_inside_app(uri: str, other_uri: str) -> None:
    outer, inner = make(uri), make(other_uri)
    with outer.app_context():
        session().add(Item(name="outer"))
        session().flush()
        add(inner, "inner")
        session().commit()

    found = names(uri), names(other_uri)
    assert found == (["outer"], ["inner"]), f"the two apps' databases hold {found[0]} and {found[1]}"


def test_second_app(uri: str, other_uri: str) -> None:
    with make(uri).app_context():
        item = Item(name="pending")
        session().add(item)
        make(other_uri)
        assert object_session(item) is not None, "making another app took the caller's session away"


def test_first_use(uri: str) -> None:
    found = max(engines_at_first_use(make(uri)) for _ in range(5))
    assert found == 1, f"8 threads that used a new app at the same moment got {found} engines"


def test_dropped_apps(uri: str) -> None:
    pools = [pool_of_a_dropped_app(uri) for _ in range(8)]
    for _ in range(3):  # Each frees what only objects of the one before referred to.
        gc.collect()

    left = sum(pool() is not None for pool in pools)
    assert left <= 3, f"{left} of 8 apps that were garbage-collected left their pool behind"


def test_twenty_places(uri: str) -> None:
    pools = []
    for _ in range(30):
        pools.append(pool_of_a_dropped_app(uri))
        gc.collect()

    left = sum(pool() is not None for pool in pools)
    assert left <= 20, f"thirty apps, made and dropped one after another, keep {left} connections"


def pool_of_a_dropped_app(uri: str) -> weakref.ref:
    app = make(uri)
    with app.app_context():
        seen()
        return weakref.ref(session().get_bind().pool)


def test_listeners(uri: str, other_uri: str) -> None:
    first = make(uri)
    before = listeners(first)
    make(other_uri)

    added = listeners(first) - before
    assert added == 0, f"making another app adds {added} listeners to the session of the first"


def listeners(app: Flask) -> int:
    with app.app_context():
        session().add(item := Item(name="new"))
        dispatch = object_session(item).dispatch
        # Only this private name lists the events.
        return sum(len(getattr(dispatch, name)) for name in dispatch._event_names)  # noqa: SLF001


def engines_at_first_use(app: Flask) -> int:
    together = threading.Barrier(8)

    def look_up() -> Pool:
        together.wait()
        sys.setprofile(lambda *_: time.sleep(1e-4))  # Let the other threads run between two calls.
        with app.app_context():
            return session().get_bind().pool

    with ThreadPoolExecutor(8) as threads:
        return len({one.result() for one in [threads.submit(look_up) for _ in range(8)]})


def test_log_in(uri: str) -> None:
    if make_url(uri).get_backend_name() == "sqlite":
        return
    url, set_password = make_url(uri), of(uri, SET_PASSWORD)
    changed = url.set(password=PASSWORD).render_as_string(hide_password=False)
    outside(uri, set_password.format(PASSWORD))
    try:
        add(make(changed), "logged in")
    except Exception as error:
        message = f"with the password {PASSWORD!r}, quoted in the URI, the app raises {type(error).__name__}"
        raise AssertionError(message) from error
    finally:
        outside(changed, set_password.format(url.password))

    assert names(uri) == ["logged in"], "an app that logged in wrote no row"


def test_fork(uri: str) -> None:
    @event.listens_for(Pool, "connect")
    def remember(_connection: object, record: object) -> None:
        record.info["opened by"] = os.getpid()

    app = make(uri)
    with app.app_context():
        seen()
    worker = os.fork()
    if worker == 0:
        with app.app_context():
            os._exit(session().connection().info["opened by"] != os.getpid())

    _, status = os.waitpid(worker, 0)
    assert status == 0, "the forked worker uses the connection that its parent opened"


def test_relative_path(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if make_url(uri).get_backend_name() != "sqlite":
        return
    files = set()
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        with make("sqlite:///relative.db").app_context():
            files.add(Path.cwd() / session().get_bind().url.database)

    assert len(files) == 1, "sqlite:///relative.db names another file in another working directory"


def test_in_memory(uri: str) -> None:
    if make_url(uri).get_backend_name() != "sqlite":
        return
    app = make("sqlite://")
    with app.app_context():
        Base.metadata.create_all(session().get_bind())
    add(app, "kept")

    def read() -> list[str] | str:
        with app.app_context():
            try:
                return seen()
            except DBAPIError as error:
                return str(error.orig)

    with ThreadPoolExecutor(1) as thread:
        found = thread.submit(read).result()
    assert found == ["kept"], f"of a row that was committed in memory, another thread reads: {found}"


def test_starts_without_its_database(uri: str, tmp_path: Path) -> None:
    proxy = ClosedProxy(uri, tmp_path)
    try:
        app = make(proxy.uri)
    except DBAPIError as error:
        message = f"the app cannot be made while its database is down: {type(error).__name__}"
        raise AssertionError(message) from error
    app.add_url_rule("/reproduction", view_func=seen)
    assert app.test_client().get("/reproduction").status_code >= 500
    proxy.open()

    status = app.test_client().get("/reproduction").status_code
    assert status == 200, f"after its database has started, the app answers {status}"
