"""The battery on a user's app, run from the user's directory."""

import json
import re
import sys
import textwrap

import pytest

from flask_sqlalchemy_testbed.backends.base import Backend
from flask_sqlalchemy_testbed.subject.subject import URI_KEYS
from tests.harness.projects import Outcome, Project
from tests.harness.shops import BINDING, FACTORY, ONE_APP, WITHOUT_REMOVE
from tests.harness.subject.test_sessions import KEPT_IN_A_CONTEXT, WITHOUT_SESSION

BATTERY = ("--pyargs", "flask_sqlalchemy_testbed.battery")
SHOP = ("--testbed-app", "shop")
REQUEST_ENDS, CONTEXT_ENDS = "lifecycle.request-ends", "lifecycle.context-ends"
# A run that asked Docker for a server would fail.
NO_DOCKER = {"DOCKER_HOST": "tcp://127.0.0.1:1"}
NOTES_ITS_DATABASE = FACTORY.replace(
    "return made",
    "with open('noted', 'a') as file:\n"
    "        print(config['DATABASE_URI'].partition('+')[0].partition(':')[0], file=file)\n"
    "    return made",
)


def check(project: Project, *checks: str, options: tuple[str, ...] = SHOP, **environment: str) -> Outcome:
    """Run some checks of the battery in a project, on its module `shop`."""
    chosen = [word for name in checks for word in ("--testbed-check", name)]
    return project.run(*BATTERY, *chosen, *options, **environment)


@pytest.mark.testbed_needs("server")
@pytest.mark.any_backend
def test_a_connection_that_an_earlier_app_keeps_fails_no_other_check(
    project_here: Project, testbed_backend: Backend
) -> None:
    project_here.backends = [testbed_backend.name]
    kept = BINDING.replace("    return app", "    kept.append(app.extensions['engine'])\n    return app")
    factory = "def create_app(config=None):\n    return made(config['DATABASE_URI'], pool_pre_ping=True)\n"
    project_here.write(f"kept = []\n{kept}\n\n{factory}", "shop.py")

    outcome = check(project_here, "binding.dropped-apps", "faults.idle-timeout", "faults.held-too-long")

    # That of the dropped apps.
    assert "1 failed, 2 passed" in outcome.text, outcome.text


def test_an_app_need_not_be_named(project_here: Project) -> None:
    project_here.write(FACTORY, "wsgi.py")

    outcome = check(project_here, REQUEST_ENDS, options=("--testbed-matrix", "matrix.json"))

    assert outcome.code == 0, outcome.text
    (line,) = outcome.lines("app: ")
    assert line.split("; ") == [
        "app: wsgi:create_app",
        "found in wsgi.py, where flask looks too",
        "session wsgi:db_session, the only scoped_session of its modules",
        f"made with a mapping, the URI under any of {', '.join(URI_KEYS)}",
        "configuration: the factory's default",
    ]
    matrix = json.loads((project_here.path / "matrix.json").read_text())
    assert matrix["subject"]["app"] == "wsgi:create_app"
    assert set(matrix["checks"][0]["results"].values()) == {"passed"}


def test_the_app_is_resolved_once_for_all_workers(project_here: Project) -> None:
    who = "__import__('os').environ.get('PYTEST_XDIST_WORKER', 'controller')"
    noted = f"with open('made', 'a') as file:\n        print({who}, file=file)\n    return made"
    project_here.write(FACTORY.replace("return made", noted), "shop.py")
    checks = (REQUEST_ENDS, CONTEXT_ENDS, "binding.two-apps")

    outcome = check(project_here, *checks, options=(*SHOP, "-n", "2"))

    assert outcome.code == 0, outcome.text
    assert f"{len(checks) * len(project_here.backends)} passed" in outcome.text
    made = (project_here.path / "made").read_text().split()
    assert made.count("controller") == 2
    # Four times for the checks; before them, twice in each worker and on each backend that has one there.
    before_checks = len(made) - 2 - 4 * len(project_here.backends)
    assert before_checks in range(2 * len(project_here.backends), 4 * len(project_here.backends) + 1, 2)


def test_checks_of_several_apps_are_not_applicable_to_one(project_here: Project) -> None:
    project_here.write(ONE_APP, "shop.py")

    outcome = check(project_here, REQUEST_ENDS, "binding.two-apps", "binding.starts-without-its-database")

    assert outcome.code == 0, outcome.text
    backends = len(project_here.backends)
    assert (
        f"not applicable: {backends} test{'s' * (backends != 1)} (the app is made when its module is imported"
        in outcome.text
    )
    assert f"{2 * backends} passed" in outcome.text


@pytest.mark.testbed_needs("server")
@pytest.mark.parametrize("in_parallel", [False, True])
def test_an_app_for_one_kind_of_database_is_tried_on_that(
    project_here: Project, testbed_backend: Backend, *, in_parallel: bool
) -> None:
    only_servers = 'connect_args={"connect_timeout": 5}'
    project_here.write(
        f"{BINDING}\ndef create_app(config):\n    app = made(config['DATABASE_URI'], {only_servers})\n"
        "    app.extensions['engine'].connect().close()\n    return app\n",
        "shop.py",
    )
    project_here.backends = []
    options = ("-o", f"testbed_backend={testbed_backend.name}", *(("-n", "2") if in_parallel else ()))

    outcome = check(project_here, REQUEST_ENDS, options=(*SHOP, *options))

    assert outcome.code == 0, outcome.text


@pytest.mark.testbed_needs("server")
@pytest.mark.parametrize("in_parallel", [False, True])
def test_an_app_is_made_on_no_other_backend_than_the_requested(
    project_here: Project, testbed_backend: Backend, *, in_parallel: bool
) -> None:
    project_here.write(NOTES_ITS_DATABASE, "shop.py")
    project_here.backends = [testbed_backend.name]

    outcome = check(project_here, REQUEST_ENDS, options=(*SHOP, *(("-n", "2") if in_parallel else ())))

    assert outcome.code == 0, outcome.text
    assert set((project_here.path / "noted").read_text().split()) == {testbed_backend.name}
    assert len(outcome.lines("app: shop:create_app; ")) == 1


@pytest.mark.testbed_needs("server")
def test_a_function_that_refuses_one_backend_is_tried_on_the_others(
    project_here: Project, testbed_backend: Backend
) -> None:
    refuses = 'assert not uri.startswith("sqlite"), "no SQLite"'
    project_here.write(f"{BINDING}\ndef app_for(uri):\n    {refuses}\n    return made(uri)\n", "shop.py")
    project_here.backends = ["sqlite", testbed_backend.name]

    outcome = check(project_here, REQUEST_ENDS, options=("--testbed-app", "shop:app_for"))

    assert outcome.code == 4, outcome.text
    (sentence,) = outcome.lines("The app cannot be tried on")
    assert "on sqlite: " in sentence
    assert "no SQLite" in sentence
    assert "1 passed, 1 not run" in outcome.text


def test_a_server_that_cannot_start_is_one_sentence(project: Project) -> None:
    project.write(FACTORY, "shop.py")

    outcome = check(project, options=(*SHOP, "-o", "testbed_backend=postgresql"), **NO_DOCKER)

    assert outcome.code == 4, outcome.text
    assert len(outcome.lines("ERROR: ")) == 1, outcome.text
    assert "Docker" in outcome.text


@pytest.mark.testbed_needs("server")
def test_an_app_that_builds_its_uri_from_parts_gets_them(
    project_here: Project, testbed_backend: Backend
) -> None:
    parts = (
        "{os.environ['DB_USER']}:{os.environ['DB_PASSWORD']}@{os.environ['DB_HOST']}/{os.getenv('DB_NAME')}"
    )
    uri = f'f"{testbed_backend.drivername}://{parts}"'
    project_here.write(f"import os\n{BINDING}\ndef create_app():\n    return made({uri})\n", "shop.py")
    project_here.backends = [testbed_backend.name]

    outcome = check(project_here, REQUEST_ENDS)

    assert outcome.code == 0, outcome.text


def test_the_chosen_driver_is_given_to_the_app_alone(project: Project) -> None:
    project.write(
        "def note(who, uri):\n    print(who, uri.partition(':')[0], file=open('noted', 'a'))", "notes.py"
    )
    noted = "from notes import note; note('app', config['DATABASE_URI'])\n    return made"
    project.write(FACTORY.replace("return made", noted), "shop.py")
    project.write(
        """
        import os
        from notes import note
        from sqlalchemy import create_engine, text

        uri = os.environ["DATABASE_URL"]
        note("command", uri)
        with create_engine(uri).begin() as connection:
            connection.execute(text("CREATE TABLE shop (id INTEGER)"))
        """,
        "tables.py",
    )
    project.write("def test_uri(database_uri):\n    __import__('notes').note('test', database_uri)\n")
    driver = ("--testbed-driver", "sqlite=pysqlite", "-W", "default")
    command = ("--testbed-schema-command", f"{sys.executable} tables.py")

    battery = check(project, REQUEST_ENDS, options=(*SHOP, *driver))
    own_test = project.run("test_inner.py", *driver, *command)

    assert battery.code == 0, battery.text
    assert own_test.code == 0, own_test.text
    noted_by = set((project.path / "noted").read_text().splitlines())
    assert noted_by == {"app sqlite+pysqlite", "command sqlite+pysqlite", "test sqlite"}


@pytest.mark.parametrize(
    ("source", "complaints"),
    [
        (
            "print('waiting for ever'); __import__('threading').Event().wait()",
            ["was not made within 1 s.", "waiter.acquire()", "waiting for ever"],
        ),
        (
            "while True:\n        try: __import__('time').sleep(60)\n        except Exception: pass",
            ["--testbed-start-timeout SECONDS. It was in:", "time').sleep(60)"],
        ),
        (
            "print('opening'); __import__('sqlite3').connect('real.db').execute('CREATE TABLE t (x)')",
            ["tried to connect to the SQLite file real.db when it started", "opening"],
        ),
    ],
)
def test_a_fault_of_the_start_is_reported_before_any_server(
    project: Project, source: str, complaints: list[str]
) -> None:
    project.write(f"{BINDING}\ndef create_app(config: dict):\n    {source}\n", "shop.py")
    options = (*SHOP, "--testbed-start-timeout", "1", "--testbed-backend", "sqlite,postgresql")

    outcome = check(project, options=options, **NO_DOCKER)

    assert outcome.code == 4
    assert len(outcome.lines("ERROR: ")) == 1
    assert all(complaint in outcome.text for complaint in complaints), outcome.text
    assert not (project.path / "real.db").exists()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--testbed-app", "nowhere"), "importing 'nowhere' raised ModuleNotFoundError"),
        ((), "neither wsgi.py nor app.py is in"),
        ((*SHOP, "--testbed-session", "shop:made"), "session 'shop:made' raised TypeError when called"),
        ((*SHOP, "--testbed-driver", "postgresql"), "is not of the form backend=driver"),
        ((*SHOP, "--testbed-baseline", "shop.py"), "'shop.py' cannot be read (JSONDecodeError"),
        ((*SHOP, "--testbed-metadata", "shop:made"), "metadata 'shop:made' is a function, not a MetaData."),
        (("--testbed-metadata", "shop:x", "--testbed-schema-command", "true"), "not both"),
    ],
)
def test_a_wrong_option_is_one_sentence_before_any_server(
    project: Project, options: tuple[str, ...], complaint: str
) -> None:
    project.write(FACTORY, "shop.py")

    outcome = check(project, options=(*options, "--testbed-backend", "sqlite,postgresql"), **NO_DOCKER)

    assert outcome.code == 4, outcome.text
    (error,) = outcome.lines("ERROR: ")
    assert complaint in error
    assert "Docker" not in outcome.text


def test_a_session_that_is_refused_outside_a_context_leaves_nothing_open(project: Project) -> None:
    project.write(textwrap.dedent(WITHOUT_SESSION) + textwrap.dedent(KEPT_IN_A_CONTEXT), "shop.py")
    options = (*SHOP, "--testbed-session", "shop:db.session")

    outcome = check(project, "lifecycle.unwrapped-stream", "lifecycle.session-options", options=options)

    assert outcome.code == 0, outcome.text


def test_a_failure_names_a_reported_case_and_the_remedy(project: Project) -> None:
    project.write(WITHOUT_REMOVE, "shop.py")

    outcome = check(project, REQUEST_ENDS, COLUMNS="120")

    assert outcome.code == 1
    assert (
        """
  where:      shop.py:10
  remedy:     Directly after shop.py:10, the line that makes the app, have the session removed after
              all callbacks, also if one raises. This replaces the line of a teardown callback that
              removes the session: do not keep both, but keep the callback's other lines.
  code:       def remove_at_the_end(*args, teardown=app.do_teardown_appcontext, **options):
                  try:
                      teardown(*args, **options)
                  finally:
                      try:
                          db_session.remove()
                      finally:
                          db_session.registry.clear()


              app.do_teardown_appcontext = remove_at_the_end
lifecycle.request-ends failed on sqlite
  claim:      A request that succeeds leaves no connection, session, transaction or uncommitted row
              behind.
  evidence:   Failed: left open: 1 connection, 1 session, 1 transaction
  reported:   Some requests leak their connections, until the pool is empty.
              https://github.com/pallets-eco/flask-sqlalchemy/issues/339
  more:       flask-sqlalchemy-testbed --explain lifecycle.request-ends
"""
        in outcome.text
    )


BASELINE = (*SHOP, "--testbed-baseline", "known.json", "--testbed-matrix", "matrix.json")


def test_a_baseline_is_not_recorded_in_ci(project: Project) -> None:
    project.write(WITHOUT_REMOVE, "shop.py")

    outcome = check(project, REQUEST_ENDS, options=BASELINE, CI="true")

    assert outcome.code == 4
    assert "--testbed-baseline 'known.json': there is no such file, and none is written" in outcome.text
    assert not (project.path / "known.json").exists()


def test_a_baseline_excuses_what_it_lists_and_reports_what_no_longer_fails(project: Project) -> None:
    project.write(WITHOUT_REMOVE, "shop.py")
    recorded = check(project, REQUEST_ENDS, options=BASELINE, CI="")
    again = check(project, REQUEST_ENDS, CONTEXT_ENDS, options=BASELINE)
    matrix = json.loads((project.path / "matrix.json").read_text())
    project.write(FACTORY, "shop.py")
    mended = check(project, REQUEST_ENDS, CONTEXT_ENDS, options=(*BASELINE, "-n", "2"))

    assert [recorded.code, again.code, mended.code] == [0, 1, 0], recorded.text + again.text + mended.text
    assert "known.json written: 1 entry, one for each failed check, of the checks of" in recorded.text
    assert "1 xfailed" in recorded.text
    assert json.loads((project.path / "known.json").read_text())["known"] == {
        REQUEST_ENDS: {"backends": ["sqlite"], "reason": "It failed in the run that wrote this file."}
    }
    results = {row["id"]: row["results"]["sqlite"] for row in matrix["checks"]}
    assert results == {REQUEST_ENDS: "known failure", CONTEXT_ENDS: "failed"}
    assert re.search(r"^  request-ends +known$", again.text, re.MULTILINE)
    assert f"{REQUEST_ENDS} on sqlite is no longer needed in known.json: it passes." in mended.text
    new = (
        "1 failure is new since known.json was written. Mend it, or delete the file and write it again if you"
        " accept it."
    )
    assert [new in run.text for run in (recorded, again, mended)] == [False, True, False]


@pytest.mark.parametrize(
    "entry",
    [["sqlite"], {"backends": ["sqlite"], "reason": "A ticket.", "expires": "9999-12-31"}],
    ids=["older form", "not expired"],
)
def test_an_entry_of_a_baseline_excuses_a_failure_until_it_expires(project: Project, entry: object) -> None:
    project.write(WITHOUT_REMOVE, "shop.py")
    known = project.path / "known.json"

    known.write_text(json.dumps({"known": {REQUEST_ENDS: entry}}))
    excused = check(project, REQUEST_ENDS, options=(*BASELINE, "-rx", "--testbed-report", "report"))
    expired = {"backends": ["sqlite"], "reason": "A ticket.", "expires": "2001-12-31"}
    known.write_text(json.dumps({"known": {REQUEST_ENDS: expired}}))
    failed = check(project, REQUEST_ENDS, options=BASELINE)

    assert (excused.code, failed.code) == (0, 1), excused.text + failed.text
    if isinstance(entry, dict):
        assert "known failure, in known.json: A ticket." in excused.text
        assert "Known failure: A ticket." in (project.path / "report" / "index.html").read_text()
    sentence = f"The entry of {REQUEST_ENDS} in known.json expired on 2001-12-31: mend the failure, or set a"
    assert failed.text.count(sentence) == 1
    assert "is new since" not in failed.text
    assert sentence not in excused.text


def test_an_expired_entry_whose_check_passes_is_only_no_longer_needed(project: Project) -> None:
    project.write(FACTORY, "shop.py")
    expired = {"backends": ["sqlite"], "expires": "2001-12-31"}
    (project.path / "known.json").write_text(json.dumps({"known": {REQUEST_ENDS: expired}}))

    outcome = check(project, REQUEST_ENDS, options=BASELINE)

    assert outcome.code == 0
    assert f"{REQUEST_ENDS} on sqlite is no longer needed in known.json" in outcome.text
    assert "expired on" not in outcome.text


def test_an_app_that_connects_when_it_is_made_leaves_no_file(project: Project) -> None:
    project.write(
        """
        from flask import Flask
        from flask_sqlalchemy import SQLAlchemy

        db = SQLAlchemy()

        def create_app(config):
            app = Flask("shop", instance_path=__file__.removesuffix("shop.py") + "instance")
            app.config.from_mapping(config)
            db.init_app(app)
            with app.app_context():
                db.engine.connect().close()
            return app
        """,
        "shop.py",
    )

    outcome = check(project, "binding.relative-path")

    assert outcome.code == 0, outcome.text
    assert list(project.path.rglob("*.db")) == []


def test_an_app_whose_teardown_fails_does_not_crash_the_run(project_here: Project) -> None:
    # The thread of `writer-waits` still waits for the lock that the failed end of a context keeps.
    project_here.write(FACTORY.replace("db_session.remove()", "Session.remove()"), "shop.py")
    names = ("cascade", "foreign-keys", "same-settings", "writer-lets-go", "writer-waits")
    checks = [word for name in names for word in ("--testbed-check", f"portability.{name}")]

    # Only an interpreter of its own frees the connections at its end.
    outcome = project_here.run_anew(*BATTERY, *checks, *SHOP)

    assert outcome.code == 1, outcome.text
    assert "type object 'Session' has no attribute 'remove'" in outcome.text
