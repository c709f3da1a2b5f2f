"""A mistake of the user is one sentence, said at once, and no verdict is lost."""

import json
import re
import shlex
import subprocess

import pytest

from tests.harness.projects import Outcome, Project, remove_kept
from tests.harness.shops import FACTORY, WITHOUT_REMOVE

pytestmark = pytest.mark.bad_day

CHECK = ("--pyargs", "flask_sqlalchemy_testbed.battery", "--testbed-app", "shop")
ONE = (*CHECK, "--testbed-check", "lifecycle.request-ends")


@pytest.fixture
def shop(project: Project) -> Project:
    """Return a project whose app never removes its session; the battery runs on SQLite."""
    project.write(WITHOUT_REMOVE, "shop.py")
    return project


def assert_usage_error(outcome: Outcome, sentence: str) -> None:
    assert sentence in outcome.text
    assert "Traceback" not in outcome.text
    assert " passed" not in outcome.text
    assert " failed" not in outcome.text
    assert outcome.code == pytest.ExitCode.USAGE_ERROR


@pytest.mark.parametrize("value", ["", ",", " "])
def test_an_empty_backend_is_a_usage_error(project: Project, value: str) -> None:
    project.write("def test_it(database_uri): pass")

    assert_usage_error(
        project.run("--testbed-backend", value),
        "--testbed-backend is empty. Choose from: sqlite, postgresql, mysql, mariadb.",
    )


def test_an_empty_backend_in_the_configuration_is_a_usage_error(project: Project) -> None:
    project.write("[pytest]\ntestbed_backend =\n", "pytest.ini")
    project.write("def test_it(database_uri): pass")

    assert_usage_error(
        project.run(), "testbed_backend is empty. Choose from: sqlite, postgresql, mysql, mariadb."
    )


@pytest.mark.parametrize("option", ["report", "matrix", "sarif", "baseline"])
@pytest.mark.parametrize("place", ["shop.py/there", "/proc/there"])
def test_a_file_that_cannot_be_written_is_refused_before_the_first_check(
    shop: Project, option: str, place: str
) -> None:
    outcome = shop.run(*ONE, f"--testbed-{option}", place, CI="")

    assert_usage_error(outcome, f"--testbed-{option} '{place}'")
    assert "Name another place." in outcome.text


@pytest.mark.parametrize("option", ["report", "matrix", "sarif", "baseline"])
def test_the_test_for_writing_changes_no_file(shop: Project, option: str) -> None:
    shop.run(*ONE, f"--testbed-{option}", "there", "--testbed-session", "nowhere:session", CI="")

    assert [path.name for path in shop.path.iterdir() if path.name == "there"] == []


@pytest.mark.parametrize("option", ["report", "matrix", "sarif", "baseline"])
def test_a_file_that_can_no_longer_be_written_loses_no_verdict(shop: Project, option: str) -> None:
    # The disk may fill up during a run. Here a directory takes the place of the file, or the reverse.
    shop.write(
        f"""
        import pathlib

        import pytest

        @pytest.hookimpl(trylast=True)
        def pytest_runtest_teardown():
            place = pathlib.Path("there")
            if {option == "report"}:
                if place.is_dir(): place.rmdir()
                place.touch()
            else:
                place.unlink(missing_ok=True)
                place.mkdir(exist_ok=True)
        """,
        "spoil.py",
    )

    outcome = shop.run("-p", "spoil", *ONE, f"--testbed-{option}", "there", CI="")

    assert f"--testbed-{option} 'there' was not written" in outcome.text
    assert "Traceback" not in outcome.text
    assert re.search("request-ends +failed", outcome.text)
    # The first run with a baseline takes each failure for a known one.
    known = option == "baseline"
    assert outcome.code == (pytest.ExitCode.USAGE_ERROR if known else pytest.ExitCode.TESTS_FAILED)


def test_a_run_that_passes_and_cannot_write_its_matrix_fails(project: Project) -> None:
    project.write(
        """
        import pathlib

        def pytest_runtest_teardown():
            pathlib.Path("there").unlink(missing_ok=True)
            pathlib.Path("there").mkdir()
        """,
        "spoil.py",
    )
    project.write(WITHOUT_REMOVE, "shop.py")
    words = ("--testbed-check", "portability.generated-key", "--testbed-matrix", "there")

    outcome = project.run("-p", "spoil", *CHECK, *words)

    assert "1 passed" in outcome.text
    assert outcome.code == pytest.ExitCode.USAGE_ERROR


REFUSES = WITHOUT_REMOVE.replace(
    "    return app", "    app.before_request(lambda: ('no', 403))\n    return app"
)


@pytest.mark.parametrize(
    "words", [(), ("--collect-only",), ("-n", "1")], ids=["refused", "listed", "parallel"]
)
def test_files_for_programs_are_not_written_if_no_check_was_run(
    shop: Project, words: tuple[str, ...]
) -> None:
    # An empty SARIF file would close all alerts of a repository.
    if "--collect-only" not in words:
        shop.write(REFUSES, "shop.py")
    files = [
        part for name in ("matrix", "sarif", "baseline") for part in (f"--testbed-{name}", f"{name}.json")
    ]
    earlier = '{"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "flask-sqlalchemy-testbed"}}}]}'
    shop.write(earlier, "sarif.json")

    outcome = shop.run(*ONE, *files, *words, CI="")

    assert not (shop.path / "matrix.json").exists()
    assert (shop.path / "sarif.json").read_text() == earlier
    for line in ("--testbed-matrix 'matrix.json'", "--testbed-sarif 'sarif.json'", "baseline.json"):
        assert f"{line} was not written: no check was run.\n" in outcome.text


@pytest.mark.parametrize(
    ("known", "sentence"),
    [
        ({"lifecycle.request-end": ["sqlite"]}, "Unknown check lifecycle.request-end. Did you mean"),
        ({"lifecycle.request-ends": ["sqlit"]}, "Unknown backend 'sqlit'. Choose from"),
        ({"lifecycle.request-ends": {"backends": ["sqlite"], "until": "x"}}, "ValueError: unknown key until"),
        ({"lifecycle.request-ends": {"backends": ["sqlite"], "expires": "soon"}}, "Invalid isoformat"),
        ({"lifecycle.request-ends": {"reason": "none"}}, "(KeyError: 'backends'); it looks like"),
    ],
)
def test_an_unknown_entry_of_a_baseline_is_a_usage_error(
    shop: Project, known: dict[str, object], sentence: str
) -> None:
    shop.write(json.dumps({"known": known}), "known.json")

    outcome = shop.run(*ONE, "--testbed-baseline", "known.json")

    assert_usage_error(outcome, sentence)
    assert "known.json" in outcome.text


INTERRUPTED = """
    import os, signal
    from sqlalchemy import create_engine, text

    def test_earlier():
        assert 1 == 2

    def test_it(database_uri):
        global connection
        connection = create_engine(database_uri).connect()
        connection.execute(text("SELECT 1"))
        os.kill(os.getpid(), signal.SIGINT)
        signal.pause()
"""


def test_ctrl_c_while_a_test_holds_a_connection_shows_the_failures_so_far(project_here: Project) -> None:
    project_here.write(INTERRUPTED)

    for backend in project_here.backends:
        outcome = project_here.run("--testbed-backend", backend, "--tb=short")

        assert "1 failed" in outcome.text
        assert "KeyboardInterrupt" in outcome.text
        assert "left open" not in outcome.text
        assert "Traceback" not in outcome.text
        assert outcome.code == pytest.ExitCode.INTERRUPTED


RERUN = """
    import pytest
    from sqlalchemy import create_engine, inspect

    def test_it(database_uri, request):
        engine = create_engine(database_uri)
        tables = inspect(engine).get_table_names()
        engine.dispose()
        assert tables == [], f"found {tables} in {request.config.getini('junit_suite_name')}"
"""
MODELS = """
    from sqlalchemy import Column, Integer, MetaData, Table

    metadata = MetaData()
    table = Table("thing", metadata, Column("id", Integer, primary_key=True))
"""
CREATE = """
    import os
    import sys

    from sqlalchemy import create_engine

    sys.path.insert(0, os.getcwd())
    import models

    engine = create_engine(os.environ["SHOP_DB"])
    models.metadata.create_all(engine)
    engine.dispose()
"""


@pytest.mark.parametrize(
    "options",
    [
        ("--testbed-metadata", "models:metadata"),
        ("--testbed-schema-command", "python create.py", "--testbed-uri-env", "SHOP_DB"),
    ],
)
def test_the_printed_command_fails_in_the_same_way(project: Project, options: tuple[str, ...]) -> None:
    project.write(RERUN)
    project.write(MODELS, "models.py")
    project.write(CREATE, "create.py")
    project.write("[pytest]\npythonpath = .\n", "other.ini")

    outcome = project.run(*options, "-c", "other.ini", "-o", "junit_suite_name=mine")
    (command,) = [line for line in outcome.text.splitlines() if "--testbed-keep-failed" in line]
    again = subprocess.run(
        shlex.split(command),
        cwd=project.path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    remove_kept(again.stdout)
    failure = "AssertionError: found ['thing'] in mine"
    assert failure in outcome.text
    assert failure in again.stdout


HANGS = """
    import threading

    def test_it(database_uri):
        threading.Event().wait(60)

    def test_after():
        pass
"""


@pytest.mark.parametrize("by", ["option", "key"])
def test_a_test_of_the_user_that_hangs_fails_after_the_timeout(project: Project, by: str) -> None:
    project.write(HANGS)
    if by == "key":
        project.write("[pytest]\ntestbed_timeout = 3\n", "pytest.ini")

    outcome = project.run(*(("--testbed-timeout", "3") if by == "option" else ()))

    assert "It hung: its call did not end within 3 s." in outcome.text
    assert "1 failed, 1 passed" in outcome.text


@pytest.mark.parametrize("option", ["timeout", "check-timeout", "start-timeout"])
@pytest.mark.parametrize("value", ["-1", "nan", "inf", "soon"])
def test_a_time_limit_that_is_none_is_a_usage_error(project: Project, option: str, value: str) -> None:
    project.write("def test_it(): pass")

    assert_usage_error(
        project.run(f"--testbed-{option}={value}"),
        f"--testbed-{option} is '{value}'. Give a number of seconds, such as 30.",
    )


@pytest.mark.parametrize("place", ["on import", "in the factory"])
def test_a_missing_variable_of_the_app_suggests_the_option(project: Project, place: str) -> None:
    read = "URI = os.environ['SHOP_KEY']\n"
    body = f"{read}def create_app(): pass" if place == "on import" else f"def create_app():\n    {read}"
    project.write(f"import os\n{body}", "shop.py")

    assert_usage_error(
        project.run(*ONE),
        "KeyError: 'SHOP_KEY'. Set the environment variable SHOP_KEY, or, if it holds the database URI, add"
        " --testbed-uri-env SHOP_KEY."
        if place == "on import"
        else "'SHOP_KEY'. Set the environment variable SHOP_KEY, or, if it holds the database URI, add",
    )


@pytest.mark.parametrize("app", ["shop", "shap"], ids=["of the app", "the app"])
def test_a_module_that_is_missing_is_one_sentence_with_its_remedy(project: Project, app: str) -> None:
    project.write("import shap", "shop.py")

    assert_usage_error(
        project.run("--pyargs", "flask_sqlalchemy_testbed.battery", "--testbed-app", app),
        "No module named 'shap'. Change to the folder that holds it, or install its package into this",
    )


def test_a_name_that_the_factory_lacks_is_one_sentence(project: Project) -> None:
    project.write("def create_app(config=None):\n    return app", "shop.py")

    assert_usage_error(
        project.run(*ONE),
        "'shop:create_app' raised NameError in shop.py, line 2: name 'app' is not defined. Correct the code.",
    )


def test_a_factory_after_a_full_stop_is_one_sentence_with_its_remedy(project: Project) -> None:
    project.write("def create_app(): pass", "shop.py")

    assert_usage_error(
        project.run("--pyargs", "flask_sqlalchemy_testbed.battery", "--testbed-app", "shop.create_app"),
        "No module named 'shop.create_app'; 'shop' is not a package. Write shop:create_app, with a colon.",
    )


def test_a_baseline_without_entries_of_a_backend_says_how_to_add_them(shop: Project) -> None:
    shop.write(json.dumps({"known": {"lifecycle.request-ends": ["postgresql"]}}), "known.json")

    outcome = shop.run(*ONE, "--testbed-backend", "sqlite", "--testbed-baseline", "known.json")

    assert (
        "sqlite has no entries in known.json: each failure there counts as new. Name the backends of the run"
        " that wrote the file, or delete the file and write it again on all backends."
    ) in outcome.lines("sqlite has no entries")
    assert "is new since" not in outcome.text
    assert "1 failed" in outcome.text


def test_a_baseline_without_entries_of_a_backend_that_passes_needs_none(project: Project) -> None:
    project.write(FACTORY, "shop.py")
    project.write(json.dumps({"known": {"lifecycle.request-ends": ["postgresql"]}}), "known.json")

    outcome = project.run(*ONE, "--testbed-backend", "sqlite", "--testbed-baseline", "known.json")

    assert "has no entries" not in outcome.text


def test_a_baseline_of_some_checks_says_so(shop: Project) -> None:
    outcome = shop.run(*ONE, "--testbed-baseline", "known.json", CI="")

    assert (
        "known.json written: 1 entry, one for each failed check, of the checks of --testbed-check alone. For"
        " a baseline of all checks, delete it and run again without --testbed-check.\n"
    ) in outcome.text


OF_A_BACKEND = """
    def test_it(testbed_backend):
        pass
"""


@pytest.mark.parametrize("words", [("-m", "postgresql"), ("-k", "[postgresql]"), ("-m", "postgresql", "-n1")])
def test_a_mark_of_a_backend_that_does_not_run_names_the_option(
    project: Project, words: tuple[str, ...]
) -> None:
    project.write(OF_A_BACKEND)

    outcome = project.run("--testbed-backend", "sqlite", *words)

    assert outcome.code == pytest.ExitCode.NO_TESTS_COLLECTED
    assert (
        "postgresql is not among the backends of this run (sqlite), and -m and -k add none. Add"
        " --testbed-backend sqlite,postgresql.\n"
    ) in outcome.text


READS_A_VARIABLE = """
    import os

    from flask import Flask
    from flask_sqlalchemy import SQLAlchemy

    db = SQLAlchemy()

    def create_app(config=None):
        app = Flask("shop")
        app.config["SQLALCHEMY_DATABASE_URI"] = os.environ["DATABASE_URL"]
        db.init_app(app)
        return app
"""


def test_a_wrong_key_of_the_uri_is_refused_if_the_app_reads_a_variable(project: Project) -> None:
    project.write(READS_A_VARIABLE, "shop.py")

    outcome = project.run(*ONE, "--testbed-uri-key", "FOO")

    assert_usage_error(outcome, "--testbed-uri-key FOO has no effect: --testbed-app 'shop:create_app'")
    assert "Leave the option out, or name the key under which the app reads the URI." in outcome.text


@pytest.mark.parametrize("words", [(), ("-n", "1")])
def test_a_server_of_the_configuration_file_is_described_when_it_is_used(
    project: Project, words: tuple[str, ...]
) -> None:
    project.write("[pytest]\ntestbed_backend = sqlite\n", "pytest.ini")
    project.write("def test_it(database_uri): pass\ndef test_again(database_uri): pass")

    outcome = project.run(*words)

    (line,) = outcome.lines("sqlite: ")
    assert re.fullmatch(r"sqlite: [\d.]+ \(files in .*\)", line)


def test_a_lock_left_on_sqlite_is_described_without_a_session(project: Project) -> None:
    project.write(
        """
        import sqlite3

        def test_it(testbed_database):
            global connection
            connection = sqlite3.connect(testbed_database.url.database, isolation_level=None)
            connection.execute("BEGIN IMMEDIATE")
        """
    )

    outcome = project.run("--testbed-backend", "sqlite")

    assert "left open: 1 transaction\n" in outcome.text
    assert "- transaction (holds the write lock)" in outcome.text


def test_promises_of_this_project_are_no_rows_of_another_app(project: Project) -> None:
    project.write(FACTORY, "shop.py")

    outcome = project.run(*CHECK, "--collect-only")

    assert "test_lifecycle.py" in outcome.text
    assert "test_promises.py" not in outcome.text
    assert "not promise" not in outcome.text


def test_a_promise_that_is_named_is_checked(project: Project) -> None:
    project.write(FACTORY, "shop.py")

    outcome = project.run(*CHECK, "--testbed-check", "promises.defaults", "--testbed-matrix", "matrix.json")

    assert re.search("1 check on 1 backend: 1 (passed|failed)", outcome.text)
    matrix = json.loads((project.path / "matrix.json").read_text())
    assert matrix["subject"]["promises"] == "checked"


ENDS = (
    *("os._exit(3)", "os.abort()", "os.execv('/bin/true', ['true'])", "os.execlp('true', 'true')"),
    *("os.kill(os.getpid(), 9)", "__import__('signal').raise_signal(15)"),
)


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("place", ["on import", "in the factory", "in a forked process"])
def test_an_app_that_ends_its_process_is_one_sentence(project: Project, end: str, place: str) -> None:
    body = {
        "on import": f"{end}\n{FACTORY}",
        "in the factory": FACTORY.replace("    return made", f"    {end}\n    return made"),
        "in a forked process": f"if not os.fork(): {end}\n{FACTORY}",
    }
    project.write(f"import os\n{body[place]}", "shop.py")

    outcome = project.run(*ONE)

    if place == "in a forked process":
        assert outcome.code == pytest.ExitCode.OK, outcome.text
    else:
        assert_usage_error(outcome, "would have ended this process when it started: it called ")
        assert re.search(r"\) at shop\.py:\d+\. Remove the call, or move it", outcome.text)


def test_an_app_may_send_signals_that_end_nothing_when_it_starts(project: Project) -> None:
    handles = "import os, signal\nsignal.signal(signal.SIGUSR1, lambda *_: None)"
    sends = (
        "os.kill(os.getpid(), 0); os.kill(os.getpid(), signal.SIGUSR1); signal.raise_signal(signal.SIGCHLD)"
    )
    project.write(f"{handles}\n{sends}\n{FACTORY}", "shop.py")

    assert project.run(*ONE).code == pytest.ExitCode.OK


@pytest.mark.parametrize("place", ["on import", "in the factory"])
def test_an_app_whose_start_returns_in_two_processes_is_one_sentence(project: Project, place: str) -> None:
    fork = "__import__('os').fork()"
    source = FACTORY.replace("    return made", f"    {fork}\n    return made")
    project.write(source if place == "in the factory" else f"{FACTORY}\n{fork}", "shop.py")

    outcome = project.run(*ONE)

    assert_usage_error(
        outcome, "called os.fork() when it started, and both processes returned from that code."
    )
    assert outcome.text.count("ERROR:") == 1


def test_a_process_that_goes_on_working_is_no_fault_of_the_app(project: Project) -> None:
    works = """
import multiprocessing
import time

forks = multiprocessing.get_context("fork")
forks.Process(target=time.sleep, args=(9,), daemon=True).start()
"""
    project.write(works + FACTORY, "shop.py")

    assert project.run(*ONE).code == pytest.ExitCode.OK


def test_a_start_that_no_signal_interrupts_shows_where_it_was(project: Project) -> None:
    project.write(
        """
        import signal, time

        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
        time.sleep(60)
        """,
        "shop.py",
    )

    outcome = project.run(*ONE, "--testbed-start-timeout", "1")

    assert_usage_error(outcome, "was not made within 1 s.")
    assert 'shop.py", line 5' in outcome.text
