"""What the harness promises every test of any app: a clean database, in time, that nobody else is in."""

from __future__ import annotations

import gc
import threading
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select, text, update

from flask_sqlalchemy_testbed.battery.tables import Item
from flask_sqlalchemy_testbed.battery.threads import WITHIN, Task, at_once
from flask_sqlalchemy_testbed.checks.check import check
from flask_sqlalchemy_testbed.plugin import state

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask import Flask

    from flask_sqlalchemy_testbed.backends.base import Backend
    from flask_sqlalchemy_testbed.battery.conftest import Trial
    from flask_sqlalchemy_testbed.databases import Database
    from flask_sqlalchemy_testbed.servers.network import Server

# How long the harness waits for the locks of others, for the while; MySQL counts in seconds.
SHORTLY = {
    "sqlite": "PRAGMA busy_timeout = 100",
    "postgresql": "SET lock_timeout = '100ms'",
    "mysql": "SET lock_wait_timeout = 1, innodb_lock_wait_timeout = 1",
}
CONNECTIONS = 3


@pytest.fixture
def next_test(
    pytestconfig: pytest.Config, testbed_server: Server, testbed_schema: Callable[[str], None]
) -> Callable[[], None]:
    """Does what the harness does between two tests."""
    isolation = state.run_of(pytestconfig).isolation(testbed_server)
    return lambda: isolation.clean(testbed_schema)


def named(trial: Trial, app: Flask) -> Flask:
    """The app, with a view that lists the items."""

    @app.get("/testbed/names")
    def names() -> str:
        return ", ".join(trial.session.scalars(select(Item.name)))

    return app


def names(app: Flask) -> str:
    return app.test_client().get("/testbed/names").text


@check("isolation.committed-rows-go")
def test_committed_rows_go(trial: Trial, next_test: Callable[[], None]) -> None:
    app = trial.app()
    met = []

    @app.post("/testbed/write")
    def write() -> str:
        trial.session.add(Item(id=1, name="committed"))
        trial.session.commit()
        trial.session.add(Item(name="rolled back"))
        trial.session.rollback()
        return ""

    @app.get("/testbed/there")
    def there() -> str:
        met.append(trial.session.get(Item, 1))
        return "" if met[-1] is None else str(met[-1].name)

    app.test_client().post("/testbed/write")
    assert app.test_client().get("/testbed/there").text == "committed", (
        "what was committed is not there for the next request"
    )
    assert trial.names() == ["committed"], "what was committed is not in the database"

    next_test()
    assert trial.names() == [], "rows are left for the next test"
    assert app.test_client().get("/testbed/there").text == "", (
        "an object of the test before is still in a session"
    )


@check("isolation.objects-of-fixtures")
def test_objects_of_fixtures(trial: Trial) -> None:
    app = named(trial, trial.app())
    with app.app_context():
        item = Item(name="made by a fixture")
        trial.session.add(item)
        trial.session.commit()

        assert names(app) == "made by a fixture", "the request does not see what the fixture has committed"
        assert item.name == "made by a fixture"


@check("isolation.worker-holds-on")
def test_worker_holds_on(trial: Trial, next_test: Callable[[], None], testbed_backend: Backend) -> None:
    app = named(trial, trial.app())
    holds, over = threading.Event(), threading.Event()
    together = threading.Barrier(CONNECTIONS, timeout=WITHIN)
    trial.database.connection.rows("INSERT INTO testbed_item (name) VALUES ('old')")

    def connect() -> None:
        with app.app_context():
            trial.session.execute(select(Item))
            together.wait()

    def work() -> None:
        with app.app_context():
            trial.session.execute(update(Item).values(name="held"))
            holds.set()
            over.wait(WITHIN)
            trial.session.rollback()

    at_once(*[connect] * CONNECTIONS)
    # Nothing mends that but a new database, which ends who is in the old one.
    trial.database.connection.rows("ALTER TABLE testbed_part ADD COLUMN made INTEGER")
    worker = Task(work)
    assert holds.wait(WITHIN)
    trial.database.connection.rows(SHORTLY[testbed_backend.name])
    began = time.monotonic()
    try:
        next_test()
        assert time.monotonic() - began < WITHIN, "the thread held up the next test for seconds"
        assert trial.names() == [], "rows are left for the next test"
        assert names(named(trial, trial.app())) == "", "the next app sees what it should not, or fails"
    finally:
        over.set()
        # It may well be told that it was thrown out.
        worker.ended.wait(WITHIN)
        trial.database.connection.close()


@check("isolation.database-of-its-own")
def test_database_of_its_own(trial: Trial, testbed_backend: Backend, pytestconfig: pytest.Config) -> None:
    with trial.app().app_context():
        (where,) = trial.session.execute(text(testbed_backend.current_database)).one()

    assert state.run_of(pytestconfig).name in where, f"the session is in {where}, which this run has not made"


@check("isolation.keys-start-again")
def test_keys_start_again(trial: Trial, next_test: Callable[[], None]) -> None:
    keys = []
    for _ in range(2):
        with trial.app().app_context():
            item = Item(name="first")
            trial.session.add(item)
            trial.session.commit()
            keys.append(item.id)
        next_test()

    assert keys == [1, 1], "the first keys of two tests differ"


@check("isolation.nothing-for-the-collector")
def test_nothing_for_the_collector(trial: Trial) -> None:
    app = named(trial, trial.app(keep=False))
    gc.collect()
    gc.disable()
    try:
        for _ in range(CONNECTIONS):
            names(app)
        trial.engine(app).dispose()
        trial.database.connection.close()

        assert still_open(trial.database) == [], "still open after dispose()"
    finally:
        gc.enable()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", ResourceWarning)
        del app
        gc.collect()
    assert [str(warning.message) for warning in said] == [], "closed by the garbage collector"


def still_open(database: Database) -> list[str]:
    """Sessions on the server, and descriptors of the file; the server notices a moment late."""
    deadline = time.monotonic() + WITHIN / 10
    while (found := [*_descriptors(database.name), *database.sessions()]) and time.monotonic() < deadline:
        time.sleep(0.01)
    return found


def _descriptors(name: str) -> list[str]:
    if not Path(name).is_absolute():
        return []
    # Where there is no /proc, Python 3.13 and newer warn of a file that is left to the collector.
    listed = Path("/proc/self/fd")
    found = []
    for descriptor in listed.iterdir() if listed.exists() else ():
        try:
            path = str(descriptor.readlink())
        except OSError:  # That of the listing itself.
            continue
        if name in path:
            found.append(path)
    return found
