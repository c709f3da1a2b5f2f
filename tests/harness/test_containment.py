"""In the battery the app reaches databases of the run alone, and has `sys.argv`."""

import os
import re
import sys
from pathlib import Path

import pytest

from tests import prepared
from tests.harness.projects import Outcome, Project
from tests.harness.shops import BINDING, FACTORY

COMMAND = ("flask_sqlalchemy_testbed", "shop:create_app", "--backend", "sqlite")
SOME = ("lifecycle.request-ends", "lifecycle.context-ends", "binding.two-apps")
# Of another run.
TESTBED_FILE = "testbed_0123456789ab.db"
# The app notes each request in a file that no option names.
NOTES = f"""import os
import sqlite3
{BINDING}

def create_app(config=None):
    app = made(config["DATABASE_URI"])

    @app.before_request
    def note():
        sqlite3.connect("{{}}").close()

    return app
"""
FORKED = f"""import os
import sqlite3
import sys
{BINDING}

def stray():
    if "gunicorn" in sys.modules:
        sqlite3.connect({{stray!r}})

stray()


def create_app(config):
    app = made(config["DATABASE_URI"])
    os.register_at_fork(after_in_child=lambda: app.extensions["engine"].dispose(close=False))
    os.register_at_fork(after_in_child=stray)
    return app
"""
ARGUMENTS = f"""import sys
{BINDING}
from pathlib import Path

ON_IMPORT = sys.argv

def create_app(config):
    app = made(config["DATABASE_URI"])
    ours = [[__file__]] * 3
    assert [ON_IMPORT, sys.argv] == ours[:2], sys.argv

    @app.before_request
    def look():
        assert [sys.argv] == ours[:1], sys.argv

    return app
"""
AUDITED = """
import os

from flask import Flask
from flask_sqlalchemy import SQLAlchemy

db = SQLAlchemy()


class Visit(db.Model):
    __bind_key__ = "audit"
    id = db.Column(db.Integer, primary_key=True)


def create_app(config=None):
    app = Flask(__name__)
    app.config["SQLALCHEMY_BINDS"] = {"audit": "sqlite:////nowhere/audit.db"}
    app.config.update(config or {})
    db.init_app(app)
    with app.app_context():
        for engine in db.engines.values():
            os.register_at_fork(after_in_child=lambda engine=engine: engine.dispose(close=False))

    @app.before_request
    def note():
        db.session.add(Visit())
        db.session.commit()

    return app
"""
LEAKS_ITS_BIND = AUDITED.replace(
    "db.session.add(Visit())\n        db.session.commit()", "app.kept = db.engines['audit'].connect()"
)


def battery(folder: Path, *words: str, checks: tuple[str, ...] = SOME) -> Outcome:
    chosen = [word for check in checks for word in ("--check", check)]
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "TESTBED_"))}
    ran = prepared.run([*COMMAND, "--report", "", *chosen, *words], cwd=folder, env=env, timeout=60)
    return Outcome(ran.returncode, ran.stdout + ran.stderr)


@pytest.mark.parametrize("name", ["stray.db", TESTBED_FILE])
def test_a_refusal_during_a_check_is_told_once_and_ends_the_run(tmp_path: Path, name: str) -> None:
    stray = tmp_path / name
    (tmp_path / "shop.py").write_text(NOTES.format(stray))

    outcome = battery(tmp_path)

    assert outcome.code == 4, outcome.text
    told = f"tried to connect to the SQLite file {stray} in binding.two-apps: that is not a database"
    assert outcome.text.count(str(stray)) == 2  # The file, and the option that allows it.
    assert told in outcome.text
    assert f"--allow-file {stray}." in outcome.text
    assert "failed" not in outcome.text
    assert not stray.exists()


def test_a_refusal_is_told_once_in_a_parallel_run(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(NOTES.format("stray.db"))

    outcome = battery(tmp_path, "--", "-n", "2")

    assert outcome.code == 4, outcome.text
    assert outcome.text.count("tried to connect to the SQLite file stray.db") == 1, outcome.text
    assert "failed" not in outcome.text


THREAD = """
import threading

from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import create_engine

db = SQLAlchemy()
made = threading.Semaphore(0)


def beat():
    while True:
        made.acquire()
        with create_engine("sqlite:///stray.db").connect():
            pass


def create_app(config):
    app = Flask(__name__)
    app.config.update(config)
    db.init_app(app)

    @app.before_request
    def look():
        made.release()
        threads[0].join(0.5)

    return app


threads = [threading.Thread(target=beat, daemon=True, name="heartbeat")]
threads[0].start()
"""


@pytest.mark.bad_day
def test_a_thread_of_the_app_that_is_refused_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(THREAD)

    outcome = battery(tmp_path, checks=("lifecycle.request-ends",))

    line = THREAD.splitlines().index('        with create_engine("sqlite:///stray.db").connect():') + 1
    told = (
        f"thread 'heartbeat' (shop.py, line {line}) tried to connect to the SQLite file {tmp_path}/stray.db"
    )
    assert told in outcome.text, outcome.text
    assert "or start no thread in the factory." in outcome.text


def test_a_file_that_the_user_allows_is_opened(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(NOTES.format(tmp_path / "stray.db"))

    outcome = battery(tmp_path, "--allow-file", "stray.db", "--allow-file", "other.db")

    assert outcome.code == 0, outcome.text
    assert (tmp_path / "stray.db").exists()


def test_a_file_may_be_allowed_in_the_configuration(project: Project) -> None:
    project.write(NOTES.format("stray.db"), "shop.py")
    project.write("[pytest]\ntestbed_app = shop:create_app\ntestbed_allow_file = stray.db\n", "pytest.ini")

    outcome = project.run("--pyargs", "flask_sqlalchemy_testbed.battery", "--testbed-check", SOME[0])

    assert outcome.code == 0, outcome.text


def test_workers_of_gunicorn_are_guarded_and_read_no_configuration_of_the_project(tmp_path: Path) -> None:
    stray = tmp_path / "stray.db"
    (tmp_path / "shop.py").write_text(FORKED.format(stray=str(stray)))
    (tmp_path / "gunicorn.conf.py").write_text(f"import sqlite3\nsqlite3.connect({str(stray)!r})\n")

    outcome = battery(tmp_path, checks=("binding.fork",))

    assert outcome.code == 4, outcome.text
    assert f"tried to connect to the SQLite file {stray} in binding.fork" in outcome.text
    assert not stray.exists()


def test_other_tests_of_the_session_may_use_any_database(project: Project) -> None:
    project.write(FACTORY, "shop.py")
    project.write(
        """
        import sqlite3
        import sys

        sqlite3.connect("imported.db").close()
        ARGUMENTS = sys.argv

        def test_mine():
            sqlite3.connect("mine.db").close()
            assert sys.argv == ARGUMENTS
        """
    )

    outcome = project.run(
        *("--pyargs", "flask_sqlalchemy_testbed.battery", "test_inner.py", "--testbed-app", "shop"),
        *("-k", "request_ends or mine"),
    )

    assert outcome.code == 0, outcome.text
    assert (project.path / "imported.db").exists()
    assert (project.path / "mine.db").exists()


def test_the_app_sees_its_own_file_as_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(ARGUMENTS)

    outcome = battery(tmp_path)

    assert outcome.code == 0, outcome.text


@pytest.mark.parametrize(
    ("command", "is_guarded"), [(sys.executable, True), ("python3.99", True), ("sh -c", False)]
)
def test_the_header_says_that_a_command_runs_unguarded(
    project: Project, command: str, *, is_guarded: bool
) -> None:
    project.write(f"import sqlite3\nsqlite3.connect({TESTBED_FILE!r})\n", "tables.py")
    project.write("def test_it(database_uri): pass")

    outcome = project.run("--testbed-schema-command", f"{command} tables.py")

    assert outcome.code == 1, outcome.text
    assert ("unguarded: --testbed-schema-command" in outcome.text) != is_guarded
    assert (f"the SQLite file {TESTBED_FILE} is not a database of this run" in outcome.text) == is_guarded
    assert not (project.path / TESTBED_FILE).exists()


def test_rows_of_a_bind_are_written_to_a_database_of_the_run(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(AUDITED)

    outcome = battery(tmp_path, checks=("lifecycle.request-ends", "binding.fork"))

    assert outcome.code == 0, outcome.text
    assert "with a further database for audit" in outcome.text


def test_a_connection_to_a_bind_that_is_left_open_fails_the_check(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(LEAKS_ITS_BIND)

    outcome = battery(tmp_path, "--", "--tb=short", checks=("lifecycle.request-ends",))

    assert outcome.code == 1, outcome.text
    assert re.search(r"to sqlite:///\S+_bind1.db checked out", re.sub(r"\n\s+", " ", outcome.text)), (
        outcome.text
    )
