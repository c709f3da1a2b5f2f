"""Checks that the harness gives each test a clean database of its own, without delay."""

import gc
import threading
import warnings
from pathlib import Path

import pytest
from sqlalchemy import text, update
from sqlalchemy.orm.exc import DetachedInstanceError

from flask_sqlalchemy_testbed.backends.base import Backend
from flask_sqlalchemy_testbed.battery.requests import get, route
from flask_sqlalchemy_testbed.battery.tables import Item
from flask_sqlalchemy_testbed.battery.threads import WITHIN, Task, poll
from flask_sqlalchemy_testbed.battery.trial import CONNECTIONS, Trial
from flask_sqlalchemy_testbed.checks.causes import DETACHED
from flask_sqlalchemy_testbed.checks.check import check
from flask_sqlalchemy_testbed.databases import Database
from flask_sqlalchemy_testbed.plugin import state
from flask_sqlalchemy_testbed.subject import app_threads

# Shorten the harness's wait for locks to what each server can do; MySQL's unit is a second.
SHORT_LOCK_TIMEOUT = {
    "sqlite": "PRAGMA busy_timeout = 100",
    "postgresql": "SET lock_timeout = '100ms'",
    "mysql": "SET lock_wait_timeout = 1, innodb_lock_wait_timeout = 1",
}


@check("isolation.committed-rows-go")
def test_committed_rows_go(trial: Trial) -> None:
    app = trial.app()
    read = []

    @route(app, "/testbed/commit")
    def write() -> str:
        trial.commit("committed", id=1)
        trial.session.add(Item(name="rolled back"))
        trial.session.rollback()
        return ""

    @route(app, "/testbed/item")
    def item() -> str:
        read.append(trial.session.get(Item, 1))
        return "" if read[-1] is None else str(read[-1].name)

    get(app, "/testbed/commit")
    found = get(app, "/testbed/item")
    assert found == "committed", f"the next request did not read the committed row: it returned {found!r}"
    assert trial.committed() == ["committed"], "the database does not contain exactly the committed row"

    trial.next_test()
    assert trial.committed() == [], "committed rows are still there in the next test"
    found = get(app, "/testbed/item")
    assert found == "", f"in the next test, the session still has an object of this test: {found!r}"


@check("isolation.objects-of-fixtures")
def test_objects_of_fixtures(trial: Trial) -> None:
    app = trial.app_with_views()
    with app.app_context():
        item = trial.commit("made by a fixture")

        with trial.noting_detachers() as detachers:
            found = get(app, "/testbed/names")
        assert found == ["made by a fixture"], f"the request did not read the fixture's row: {found}"
        try:
            assert item.name == "made by a fixture"
        except DetachedInstanceError:
            places = f", {DETACHED} {', '.join(detachers)}" if detachers else ""
            pytest.fail(f"DetachedInstanceError: after the request the fixture's object is detached{places}")


@check("isolation.worker-holds-on")
def test_worker_holds_on(trial: Trial) -> None:
    app, connection = trial.app(), trial.database.connection
    holds, over, let_go = threading.Event(), threading.Event(), threading.Event()
    connection.rows("INSERT INTO testbed_item (name) VALUES ('old')")

    def work() -> None:
        with app.app_context():
            trial.session.execute(update(Item).values(name="held"))
            holds.set()
            # A blocked test waits for the thread, however fast the machine is.
            if not over.wait(2 * WITHIN):
                let_go.set()
            trial.session.rollback()

    trial.use_connections(app)
    # A changed table makes the harness replace the database, which ends the sessions in the old one.
    connection.rows("ALTER TABLE testbed_part ADD COLUMN made INTEGER")
    worker = Task(work)
    assert holds.wait(WITHIN)
    connection.rows(trial.of(SHORT_LOCK_TIMEOUT))
    try:
        trial.next_test()
        assert not let_go.is_set(), (
            f"the thread used the database for {2 * WITHIN:g} s, and the next test did not begin before that"
            " was over: it waited for the thread, or the machine was busy"
        )
        assert trial.committed() == [], "rows are still there in the next test"
        found = get(trial.app_with_views(), "/testbed/names")
        assert found == [], f"the app of the next test returned {found}, not an empty list"
    finally:
        over.set()
        # The thread may get an error, because its session was ended.
        worker.ended.wait(WITHIN)
        trial.database.connection.close()


@check("isolation.database-of-its-own")
def test_database_of_its_own(trial: Trial, testbed_backend: Backend, pytestconfig: pytest.Config) -> None:
    with trial.app().app_context():
        (name,) = trial.session.execute(text(testbed_backend.current_database)).one()

    assert state.run_of(pytestconfig).name in name, f"the session uses {name}, which this run did not create"


@check("isolation.keys-start-again")
def test_keys_start_again(trial: Trial) -> None:
    keys = []
    for _ in range(2):
        with trial.app().app_context():
            keys.append(trial.commit("first").id)
        if trial.leaks():
            # The clean-up would end an open session, and the next commit in it would fail for that reason.
            # The harness reports the leak when the check has ended.
            return
        trial.next_test()

    assert keys == [1, 1], f"the first rows of two tests have the keys {keys}"


@check("isolation.nothing-for-the-collector")
def test_nothing_for_the_collector(trial: Trial) -> None:
    app = trial.app_with_views(keep=False)
    gc.collect()
    gc.disable()
    try:
        for _ in range(CONNECTIONS):
            get(app, "/testbed/names")
        trial.engine(app).dispose()
        trial.database.connection.close()

        poll(lambda: not still_open(trial.database), WITHIN / 2)
        found = still_open(trial.database)
        kept = trial.kept_by_other_engines() + app_threads.clause()
        assert found == [], f"still open after dispose(): {found}{kept}"
    finally:
        gc.enable()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        del app
        gc.collect()
    assert [str(warning.message) for warning in caught] == [], "the garbage collector closed connections"


def still_open(database: Database) -> list[str]:
    """Return the sessions on the server, or this process's descriptors of the database's file."""
    if "server" in database.backend.capabilities:
        return list(database.sessions())
    # Without /proc, Python 3.13 and newer warn of files that the garbage collector closes.
    listing = Path("/proc/self/fd")
    found = []
    for descriptor in listing.iterdir() if listing.exists() else ():
        try:
            path = str(descriptor.readlink())
        except OSError:  # The descriptor of the listing itself.
            continue
        if database.name in path:
            found.append(path)
    return found
