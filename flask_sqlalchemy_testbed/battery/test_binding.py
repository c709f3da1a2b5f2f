"""Which database a session uses."""

import contextlib
import gc
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import Pool, create_engine, make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import object_session

from flask_sqlalchemy_testbed.backends.base import new_name
from flask_sqlalchemy_testbed.battery import served
from flask_sqlalchemy_testbed.battery.gates import gate_to
from flask_sqlalchemy_testbed.battery.requests import address_of, ask, get
from flask_sqlalchemy_testbed.battery.tables import Base, Item
from flask_sqlalchemy_testbed.battery.threads import WITHIN, Task, at_once
from flask_sqlalchemy_testbed.battery.trial import Trial
from flask_sqlalchemy_testbed.battery.workers import FORKED, WORKERS, workers
from flask_sqlalchemy_testbed.checks.check import check
from flask_sqlalchemy_testbed.plugin import state
from flask_sqlalchemy_testbed.redaction import redact
from flask_sqlalchemy_testbed.subject import guard
from flask_sqlalchemy_testbed.subject.binding import check_binding
from flask_sqlalchemy_testbed.subject.errors import FactoryError, SubjectError

# The id of the server's session that a connection belongs to.
WHOAMI = {
    "sqlite": "SELECT 'of no server'",
    "postgresql": "SELECT pg_backend_pid()",
    "mysql": "SELECT CONNECTION_ID()",
}
PASSWORD = "p@s/s:%#?"  # noqa: S105 - of a throwaway server
# Each change of the password empties the server's cache of log-ins.
SET_PASSWORD = {
    "postgresql": "ALTER ROLE CURRENT_USER PASSWORD '{}'",
    "mysql": "ALTER USER CURRENT_USER() IDENTIFIED BY '{}'",
    "mariadb": "SET PASSWORD = PASSWORD('{}')",
}
WITHOUT_TLS = {"postgresql": {"sslmode": "disable"}, "mysql": {"ssl_disabled": "true"}}
# The pools of the last apps may keep so many connections.
SPARE_CONNECTIONS = 3
FIRST_USERS = 8
MANY_APPS = 30
# Seconds for making so many: a check has 30.
APPS_SECONDS = 20.0


def commit(trial: Trial, app: Flask, name: str) -> None:
    with app.app_context():
        trial.commit(name)


@check("binding.uses-the-given-uri")
def test_uses_the_given_uri(trial: Trial) -> None:
    commit(trial, trial.app(), "here")

    assert trial.committed() == ["here"], "the row is not in the database that the configuration names"


@check("binding.two-apps")
def test_two_apps(trial: Trial) -> None:
    first = trial.app_with_views()
    try:
        second = trial.app_with_views(trial.other.uri)
    except FactoryError:
        # An app that refuses a second one in its process confuses no databases.
        return
    commit(trial, first, "first")
    commit(trial, second, "second")

    found = trial.committed(), trial.committed(trial.other)
    assert found == (["first"], ["second"]), f"the databases of the first and second app contain {found}"
    for app, name, database in ((first, "first", trial.database), (second, "second", trial.other)):
        with trial.only_on(database):
            response = get(app, "/testbed/names")
            assert response == [name], (
                f"the {name} app does not read its own database: it returned {response}"
            )


@check("binding.app-inside-app")
def test_app_inside_app(trial: Trial) -> None:
    outer = trial.app()
    with contextlib.suppress(FactoryError):
        inner = trial.app(trial.other.uri)
        with outer.app_context():
            trial.write("outer")
            commit(trial, inner, "inner")
            trial.session.commit()

        found = trial.committed(), trial.committed(trial.other)
        assert found == (["outer"], ["inner"]), f"the databases of the outer and inner app contain {found}"


@check("binding.second-app")
def test_second_app(trial: Trial) -> None:
    first, other = trial.app(), trial.other.uri
    begun, made = threading.Event(), threading.Event()

    def work() -> None:
        with first.app_context():
            try:
                trial.session.add(Item(name="thread"))
            finally:
                begun.set()
            assert made.wait(WITHIN)
            trial.session.commit()

    with first.app_context():
        item = Item(name="caller")
        trial.session.add(item)
        task = Task(work)
        assert begun.wait(WITHIN)
        try:
            # The session that the harness resolves may still be bound to the first app's engine here.
            with contextlib.suppress(SubjectError):
                trial.app(other)
        finally:
            made.set()
        task.result()

        assert object_session(item) is not None, "making another app removed a session that was in use"
        trial.session.commit()

    found = sorted(trial.committed())
    assert found == ["caller", "thread"], f"of the two rows of the first app, its database contains {found}"


@check("binding.config-changed-later")
def test_config_changed_later(trial: Trial) -> None:
    app = trial.app()
    commit(trial, app, "before")
    app.config.from_mapping(trial.subject.configuration(trial.other.uri))
    commit(trial, app, "caller")
    Task(lambda: commit(trial, app, "thread")).result()

    found = trial.committed(), trial.committed(trial.other)
    one_database: Any = (["before", "caller", "thread"], []), (["before"], ["caller", "thread"])
    assert found in one_database, f"after the change, the two threads use different databases: {found}"


@check("binding.first-use")
def test_first_use(trial: Trial) -> None:
    app = trial.unused_app()
    together = threading.Barrier(FIRST_USERS, timeout=WITHIN)

    def look_up() -> Pool:
        together.wait()
        # The thread lets the others run at each call, and so between any look at an engine and its making.
        sys.setprofile(lambda *_: time.sleep(0))
        with app.app_context():
            # Engines with other execution options have the pool of the engine that they come from.
            return trial.session.get_bind().pool  # type: ignore[no-any-return]

    pools = at_once(*[look_up] * FIRST_USERS, within=2 * WITHIN)
    found = len({id(pool) for pool in pools})
    assert found == 1, f"{FIRST_USERS} threads that used a new app at the same moment got {found} engines"
    check_binding(trial.subject, app, trial.database.uri)
    trial.use_connections(app)


def drop_apps(request: pytest.FixtureRequest, trial: Trial, *, at_least: int) -> int:
    """Make apps one after another, each of which commits a row and is dropped; return how many it made.

    A slow factory makes fewer than thirty. If it makes less than `at_least`, the check does not apply.
    """
    began = time.monotonic()
    for number in range(MANY_APPS):
        commit(trial, trial.app(keep=False), f"{number}")
        if number % 5 == 0:
            gc.collect()
        took, made = time.monotonic() - began, number + 1
        if took > APPS_SECONDS:
            break
    if made < at_least:
        state.not_applicable(request.node, f"it needs {at_least} apps, and {made} took {took:.0f} s to make")
    return made


@check("binding.dropped-apps")
def test_dropped_apps(request: pytest.FixtureRequest, trial: Trial) -> None:
    gc.collect()
    before = len(trial.database.sessions())
    made = drop_apps(request, trial, at_least=2 * SPARE_CONNECTIONS)
    # Each collection frees what only objects of the one before referred to.
    for _ in range(3):
        gc.collect()

    trial.assert_sessions(before + SPARE_CONNECTIONS, f"after {made} apps were garbage-collected")


@check("binding.twenty-places")
def test_twenty_places(request: pytest.FixtureRequest, own_trial: Trial) -> None:
    try:
        made = drop_apps(request, own_trial, at_least=21)
    finally:
        # The next check needs connections too.
        own_trial.database.terminate(own_trial.database.sessions())

    found = len(own_trial.committed())
    assert found == made, f"only {found} of {made} apps wrote their row"


@check("binding.log-in")
def test_log_in(own_trial: Trial) -> None:
    own_trial.log_in(own_trial.database)  # A user of the app, with the first password.
    administrator, url = own_trial.database.connection, own_trial.database.url
    set_password = own_trial.of(SET_PASSWORD)
    try:
        for query in ({}, own_trial.of(WITHOUT_TLS)):
            administrator.run([set_password.format(PASSWORD)])
            uri = url.set(password=PASSWORD).update_query_dict(query).render_as_string(hide_password=False)
            commit(own_trial, own_trial.app(uri), f"{query}")
    finally:
        administrator.run([set_password.format(url.password)])

    found = own_trial.committed()
    assert len(found) == 2, f"the log-ins with and without TLS wrote the rows {found}"


@check("binding.second-engine")
def test_second_engine(trial: Trial) -> None:
    url = trial.engine(trial.app()).url
    second = create_engine(url)
    with second.connect() as connection:
        assert connection.scalar(text("SELECT 1")) == 1
    second.dispose()

    with pytest.raises(DBAPIError):
        create_engine(str(url)).connect()


@check("binding.relative-path")
def test_relative_path(trial: Trial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri, files = f"sqlite:///{new_name()}.db", set()
    guard.allow(make_url(uri))
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        database = trial.engine(trial.app(uri)).url.database
        assert database is not None
        files.add(str((tmp_path / name).joinpath(database)))
    for path in files:
        # An app that connects in its factory has created the file, perhaps in its own instance folder.
        Path(path).unlink(missing_ok=True)

    assert len(files) == 1, f"one relative path means {len(files)} files: {', '.join(sorted(files))}"


@check("binding.in-memory")
@pytest.mark.parametrize("uri", ["sqlite://", "sqlite:///:memory:"])
def test_in_memory(trial: Trial, uri: str) -> None:
    try:
        app = trial.app(uri)
    except FactoryError:
        # An app that refuses such a database loses no rows.
        return
    Base.metadata.create_all(trial.engine(app))
    commit(trial, app, "kept")

    def read() -> list[str] | str:
        with app.app_context():
            try:
                return trial.read()
            except DBAPIError as error:
                return f"the error {error.orig}"

    for found in at_once(read, read):
        assert found == ["kept"], f"another thread read {found}, not the committed row"


@check("binding.starts-without-its-database")
def test_starts_without_its_database(trial: Trial, tmp_path: Path) -> None:
    with gate_to(trial.database, tmp_path) as gate:
        app = trial.app_with_views(gate.uri)
        answer = ask(app, "/testbed/names")
        assert not answer.is_success, f"without its database the app answered a request with {answer.failure}"
        gate.open()

        answer = ask(app, "/testbed/names")
        assert answer.is_success, (
            f"the database can be reached again, and the app still answered with {answer.failure}"
        )
        trial.engine(app).dispose()


@check("binding.listeners")
def test_listeners(trial: Trial) -> None:
    first = trial.app()

    # Of different names: the app may commit the items of its contexts.
    def count(name: str) -> int:
        with first.app_context():
            trial.session.add(item := Item(name=name))
            dispatch: Any = getattr(object_session(item), "dispatch", None)
            return sum(len(getattr(dispatch, name)) for name in dispatch._event_names)  # noqa: SLF001

    before = count("first")
    for _ in range(2):
        with contextlib.suppress(FactoryError):
            trial.app()

    after = count("second")
    assert after == before, f"the session had {before} listeners, and {after} after two more apps were made"


@check("binding.fork")
def test_fork(trial: Trial, tmp_path: Path) -> None:
    log = tmp_path / "gunicorn.log"
    address = address_of(trial.app())
    environment = served.environment(
        trial.subject, trial.database.uri, trial.bind_uris, trial.of(WHOAMI), address
    )
    with workers(FORKED, environment, log) as forked:
        answers = forked.answers(40)

    wrong = [answer for answer in answers if answer.get("opened_by") != answer.get("process", "none")]
    assert not wrong, (
        f"{len(wrong)} of {len(answers)}: {_describe(wrong[0])}\n{redact(log.read_text())[-2000:]}"
    )
    owners: dict[str, set[int]] = {}
    for answer in answers:
        owners.setdefault(answer["session"], set()).add(answer["process"])
    found = len(set().union(*owners.values()))
    assert found == WORKERS, f"only {found} of {WORKERS} workers answered"
    if "server" in trial.database.backend.capabilities:
        shared = [session for session, processes in owners.items() if len(processes) > 1]
        assert not shared, f"several workers use the same session of the server: {', '.join(shared)}"


def _describe(answer: dict[str, Any]) -> str:
    if "error" in answer:
        return f"a worker failed: {answer['error']}"
    return f"process {answer['process']} used a connection that process {answer['opened_by']} opened"
