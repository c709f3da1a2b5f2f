"""Which database a session talks to."""

from __future__ import annotations

import contextlib
import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import create_engine, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import object_session

from flask_sqlalchemy_testbed.battery.gates import gate_to
from flask_sqlalchemy_testbed.battery.tables import Item
from flask_sqlalchemy_testbed.battery.workers import WORKERS, workers
from flask_sqlalchemy_testbed.checks.check import check
from flask_sqlalchemy_testbed.subject.errors import FactoryError, SubjectError

if TYPE_CHECKING:
    from flask import Flask

    from flask_sqlalchemy_testbed.backends.base import Backend
    from flask_sqlalchemy_testbed.battery.conftest import Trial

# Which of its sessions a connection is, asked of the server.
WHOAMI = {
    "sqlite": "SELECT 'of no server'",
    "postgresql": "SELECT pg_backend_pid()",
    "mysql": "SELECT CONNECTION_ID()",
}
# Each time it is set, the server forgets that it has seen the user before.
PASSWORD = "p@s/s:%#?"  # noqa: S105 - of a server that is thrown away
SET_PASSWORD = {
    "postgresql": "ALTER ROLE CURRENT_USER PASSWORD '{}'",
    "mysql": "ALTER USER CURRENT_USER() IDENTIFIED BY '{}'",
}
WITHOUT_TLS = {"postgresql": {"sslmode": "disable"}, "mysql": {"ssl_disabled": "true"}}
# A pool that one request has filled may keep a connection or two.
FEW = 3
WITHIN = 10


def names_view(trial: Trial, app: Flask) -> None:
    app.add_url_rule(
        "/testbed/names", "testbed-names", lambda: list(trial.session.scalars(select(Item.name)))
    )


def add(trial: Trial, app: Flask, name: str) -> None:
    with app.app_context():
        trial.session.add(Item(name=name))
        trial.session.commit()


@check("binding.uses-the-given-uri")
def test_uses_the_given_uri(trial: Trial) -> None:
    add(trial, trial.app(), "here")

    assert trial.names() == ["here"], "the row is not in the database that the configuration names"


@check("binding.two-apps")
def test_two_apps(trial: Trial) -> None:
    first = trial.app()
    names_view(trial, first)
    try:
        last = trial.app(trial.other.uri)
    except FactoryError:
        # Nobody is misled.
        return
    names_view(trial, last)
    add(trial, first, "first")
    add(trial, last, "last")

    found = trial.names(), trial.names(trial.other)
    assert found == (["first"], ["last"]), (
        f"the first app's database has {found[0]}, the last one's {found[1]}"
    )
    assert first.test_client().get("/testbed/names").json == ["first"], (
        "the first app does not read its own database"
    )
    assert last.test_client().get("/testbed/names").json == ["last"], (
        "the last app does not read its own database"
    )


@check("binding.app-inside-app")
def test_app_inside_app(trial: Trial) -> None:
    outer = trial.app()
    with contextlib.suppress(FactoryError):
        inner = trial.app(trial.other.uri)
        with outer.app_context():
            trial.session.add(Item(name="outer"))
            trial.session.flush()
            add(trial, inner, "inner")
            trial.session.commit()

        found = trial.names(), trial.names(trial.other)
        assert found == (["outer"], ["inner"]), f"the outer database has {found[0]}, the inner one {found[1]}"


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

    with ThreadPoolExecutor(1) as thread, first.app_context():
        item = Item(name="caller")
        trial.session.add(item)
        working = thread.submit(work)
        assert begun.wait(WITHIN)
        try:
            # Its session may be this thread's, on the first app's engine: that is in nobody's way.
            with contextlib.suppress(SubjectError):
                trial.app(other)
        finally:
            made.set()
        working.result(WITHIN)

        assert object_session(item) is not None, (
            "the session that was in use is removed: its object is in none"
        )
        trial.session.commit()

    assert sorted(trial.names()) == ["caller", "thread"], (
        "not all work that was begun on the first app is in its database"
    )


@check("binding.config-changed-later")
def test_config_changed_later(trial: Trial) -> None:
    app = trial.app()
    add(trial, app, "before")
    app.config.from_mapping(trial.subject.configuration(trial.other.uri))
    add(trial, app, "caller")
    with ThreadPoolExecutor(1) as thread:
        thread.submit(add, trial, app, "thread").result(WITHIN)

    moved = trial.names(trial.other) == ["caller", "thread"]
    assert trial.names() == (["before"] if moved else ["before", "caller", "thread"]), (
        "after the change some threads are on one database, some on the other"
    )


@check("binding.dropped-apps")
def test_dropped_apps(trial: Trial) -> None:
    gc.collect()
    before = len(trial.database.sessions())
    for number in range(30):
        add(trial, trial.app(keep=False), f"{number}")
    # An app goes first, what was kept for it only then.
    for _ in range(3):
        gc.collect()

    assert trial.sessions_come_down_to(before + FEW), (
        f"{len(trial.database.sessions())} sessions are open for 30 apps that are gone;"
        f" {before + FEW} at most would do"
    )


@check("binding.twenty-places")
def test_twenty_places(own_trial: Trial) -> None:
    try:
        for number in range(30):
            add(own_trial, own_trial.app(keep=False), f"{number}")
            if number % 5 == 0:
                gc.collect()
    finally:
        # Whoever comes next finds places.
        own_trial.database.terminate(own_trial.database.sessions())

    assert len(own_trial.names()) == 30, "not all of the apps have written their row"


@check("binding.log-in")
def test_log_in(own_trial: Trial, testbed_backend: Backend) -> None:
    administrator = own_trial.database.connection
    url = own_trial.database.url
    try:
        for query in ({}, WITHOUT_TLS[testbed_backend.name]):
            administrator.run([SET_PASSWORD[testbed_backend.name].format(PASSWORD)])
            wanted = url.set(password=PASSWORD).update_query_dict(query)
            add(own_trial, own_trial.app(wanted.render_as_string(hide_password=False)), f"{query}")
    finally:
        administrator.run([SET_PASSWORD[testbed_backend.name].format(url.password)])

    assert len(own_trial.names()) == 2, "not both of the log-ins have led to a row"


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
    means = set()
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        database = trial.engine(trial.app("sqlite:///testbed_relative.db")).url.database
        assert database is not None
        means.add(str((tmp_path / name).joinpath(database)))
    for path in means:
        # An app that connects when it is made has left a file where it keeps its own.
        Path(path).unlink(missing_ok=True)

    assert len(means) == 1, f"one path means {len(means)} files: {', '.join(sorted(means))}"


@check("binding.starts-without-its-database")
def test_starts_without_its_database(trial: Trial, testbed_backend: Backend, tmp_path: Path) -> None:
    with gate_to(trial.database, testbed_backend, tmp_path) as gate:
        app = trial.app(gate.uri)
        names_view(trial, app)
        client = app.test_client()
        assert client.get("/testbed/names").status_code >= 500, "an answer was given without the database"
        gate.open()

        assert client.get("/testbed/names").status_code == 200, (
            "the database is there, and the app still fails"
        )
        trial.engine(app).dispose()


@check("binding.listeners")
def test_listeners(trial: Trial) -> None:
    def heard() -> int:
        with first.app_context():
            trial.session.add(item := Item(name="heard"))
            dispatch: Any = getattr(object_session(item), "dispatch", None)
            return sum(len(getattr(dispatch, name)) for name in dispatch._event_names)  # noqa: SLF001

    first = trial.app()
    before = heard()
    for _ in range(2):
        with contextlib.suppress(FactoryError):
            trial.app()

    assert heard() == before, f"{heard()} listeners hear what {before} heard before two more apps were made"


@check("binding.fork")
def test_fork(trial: Trial, testbed_backend: Backend, tmp_path: Path) -> None:
    log = tmp_path / "gunicorn.log"
    with workers(trial.subject, trial.database.uri, WHOAMI[testbed_backend.name], log) as forked:
        answers = forked.answers(40)

    wrong = [answer for answer in answers if answer.get("opened_by") != answer.get("process", "nobody")]
    assert not wrong, f"{len(wrong)} of {len(answers)}: {_told(wrong[0])}\n{log.read_text()[-2000:]}"
    owners: dict[str, set[int]] = {}
    for answer in answers:
        owners.setdefault(answer["session"], set()).add(answer["process"])
    assert len(set().union(*owners.values())) == WORKERS, "not every worker has answered"
    assert "server" not in testbed_backend.capabilities or all(
        len(processes) == 1 for processes in owners.values()
    ), "two workers are in one session of the server"


def _told(answer: dict[str, Any]) -> str:
    if "error" in answer:
        return f"a worker failed: {answer['error']}"
    return f"process {answer['process']} answered on the connection that process {answer['opened_by']} opened"
