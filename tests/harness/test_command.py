"""The commands run the battery for people who do not use pytest."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from click.testing import CliRunner

import flask_sqlalchemy_testbed
from flask_sqlalchemy_testbed.backends import BACKENDS
from flask_sqlalchemy_testbed.checks.claims import CHECKS
from flask_sqlalchemy_testbed.command import PLUGIN, command, needs_engine
from flask_sqlalchemy_testbed.plugin import watchdog
from tests import prepared
from tests.harness.projects import remove_kept
from tests.harness.shops import FACTORY, ONE_APP, WITHOUT_REMOVE
from tests.harness.test_single_checks import ONE_SHOT

BIN = Path(sys.executable).parent
MODULE = (sys.executable, "-m", "flask_sqlalchemy_testbed")
SCRIPT = (str(BIN / "flask-sqlalchemy-testbed"),)
FLASK = (str(BIN / "flask"), "testbed")
ONE = ("--backend", "sqlite", "--check", "lifecycle.request-ends")
OF_THE_PROJECT = "raise RuntimeError('this conftest.py belongs to the project')\n"


def run(directory: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    # Where CI is set, --baseline writes no file.
    kept = {name: os.environ[name] for name in os.environ.keys() - {"CI"}}
    env = {name: value for name, value in kept.items() if not name.startswith(("PYTEST_", "FLASK_"))}
    env |= environment
    if words[:2] == MODULE[:2] and prepared.can_fork(env):
        return prepared.run([*words[2:]], cwd=directory, env=env, timeout=60)
    return subprocess.run(
        words, cwd=directory, env=env, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a project with two apps; its own configuration of pytest would stop any run."""
    (tmp_path / "app.py").write_text(FACTORY)
    (tmp_path / "leaky.py").write_text(WITHOUT_REMOVE)
    (tmp_path / "conftest.py").write_text(OF_THE_PROJECT)
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "conftest.py").write_text(OF_THE_PROJECT)
    return tmp_path


@pytest.mark.parametrize(
    ("program", "app", "code"),
    [
        (MODULE, "app:create_app", 0),
        (MODULE, "leaky:create_app", 1),
        (SCRIPT, "leaky:create_app", 1),
        (FLASK, "app:create_app", 0),
    ],
)
def test_each_command_prints_the_matrix_writes_the_report_and_exits_with_the_outcome(
    folder: Path, program: tuple[str, ...], app: str, code: int
) -> None:
    words = ("--backend", "sqlite", "--", "-k", "test_request_ends")  # With --check there is no report.

    ran = run(folder, *program, app, *words, PYTEST_ADDOPTS="--no-such-option", PYTEST_PLUGINS="conftest")

    assert ran.returncode == code, ran.stdout + ran.stderr
    assert f"battery: {app}" in ran.stdout
    assert "1 check on 1 backend: 1 " in ran.stdout
    assert (folder / "testbed-report" / "index.html").exists()


@pytest.mark.parametrize(
    ("words", "environment"),
    [
        (("flask", "--app", "leaky:create_app", "--debug", "testbed"), {}),
        (("flask", "--app", "leaky.py", "testbed"), {}),
        (("flask", "testbed"), {"FLASK_APP": "leaky"}),
        (("flask", "--app", "app", "testbed", "leaky"), {}),
        (("flask_sqlalchemy_testbed", "--app", "leaky"), {}),
        (("flask_sqlalchemy_testbed",), {"FLASK_APP": "leaky"}),
    ],
)
def test_the_app_is_the_one_that_is_named(
    folder: Path, words: tuple[str, ...], environment: dict[str, str]
) -> None:
    # As modules: a prepared process runs them.
    ran = run(folder, *MODULE[:2], *words, *ONE, "--report", "", **environment)

    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert "battery: leaky" in ran.stdout
    assert not (folder / "testbed-report").exists()


def test_flask_does_not_import_the_app_before_connections_are_guarded(folder: Path) -> None:
    # On import the app opens a database outside the run: the guard refuses, and no file is created.
    stray = folder / "stray.db"
    (folder / "app.py").write_text(f"import sqlite3\nsqlite3.connect({str(stray)!r})\n{FACTORY}")

    ran = run(folder, str(BIN / "flask"), "--app", "app", "testbed", *ONE)

    assert "stray.db" in ran.stdout + ran.stderr
    assert ran.returncode == 4
    assert not stray.exists()


def test_flask_commands_load_no_more_than_click_and_the_options(tmp_path: Path) -> None:
    code = "import sys; import flask_sqlalchemy_testbed.command; print(*sys.modules)"

    loaded = set(run(tmp_path, sys.executable, "-c", code).stdout.split())

    ours = {name for name in loaded if name.startswith("flask_sqlalchemy_testbed")}
    assert ours == {f"flask_sqlalchemy_testbed{part}" for part in ("", ".command", ".options")}
    assert not {"flask", "pytest", "sqlalchemy"} & loaded


def test_an_environment_inside_another_project_reads_no_conftest_of_it(tmp_path: Path) -> None:
    other, here = tmp_path / "other", tmp_path / "here"
    installed = other / ".venv" / "lib" / "site-packages"
    shutil.copytree(Path(flask_sqlalchemy_testbed.__file__).parent, installed / "flask_sqlalchemy_testbed")
    (other / "app").mkdir()
    (other / "app" / "__init__.py").write_text(
        "raise RuntimeError('this app belongs to the other project')\n"
    )
    (other / "conftest.py").write_text(f"import sys\nsys.path.insert(0, {str(other)!r})\n")
    here.mkdir()
    (here / "app.py").write_text(ONE_APP)

    ran = run(here, *MODULE, *ONE, "--uri-env", "DATABASE_URL", PYTHONPATH=str(installed))

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert f"rootdir: {installed}" in ran.stdout


def test_only_the_modules_of_the_checks_that_are_named_are_collected(folder: Path) -> None:
    ran = run(folder, *MODULE, "app:create_app", *ONE)

    (collected,) = re.findall(r"collected (\d+) items", ran.stdout)
    lifecycle = [check for check in CHECKS.values() if check.group == "lifecycle"]
    assert len(lifecycle) <= int(collected) < len(CHECKS) / 2


def test_a_plugin_of_pytest_that_is_installed_beside_the_app_is_not_loaded(folder: Path) -> None:
    # By the command, by a worker, and by the process of one check.
    (folder / "once.py").write_text(ONE_SHOT)
    (folder / "shop_plugin.py").write_text("raise RuntimeError('this plugin belongs to the project')\n")
    information = folder / "shop-1.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: shop\nVersion: 1\n")
    (information / "entry_points.txt").write_text("[pytest11]\nshop = shop_plugin\n")

    ran = run(folder, *MODULE, "once", *ONE, "--", "-n", "2", PYTHONPATH=str(folder))

    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_paths_are_relative_to_the_working_directory(folder: Path) -> None:
    places = ("--matrix", "matrix.json", "--report", "there", "--baseline", "known.json")

    ran = run(folder, *MODULE, "leaky", *ONE, *places, "--", "--junit-xml", "junit.xml")

    assert ran.returncode == 0, ran.stdout + ran.stderr  # The first run records what fails.
    for name in ("matrix.json", "there/index.html", "known.json", "junit.xml"):
        assert (folder / name).exists(), name


def test_the_printed_command_runs_the_failed_check_again(folder: Path) -> None:
    ran = run(folder, *MODULE, "leaky", *ONE, "--", "-n", "2", "--tb", "short")
    (again,) = {line for line in ran.stdout.splitlines() if " --keep-failed " in line}
    ran = run(folder, *shlex.split(again))
    remove_kept(ran.stdout)

    assert ran.returncode == 1
    assert "battery: leaky" in ran.stdout


@pytest.mark.parametrize("parallel", [(), ("-n", "2")])
def test_warnings_are_counted_by_kind_and_the_first_of_each_is_shown(
    folder: Path, parallel: tuple[str, ...]
) -> None:
    warns = """
    import warnings
    warnings.warn("first\\nmore", DeprecationWarning)
    for number in range(3):
        warnings.warn(f"number {number}", UserWarning)"""
    noisy = FACTORY.replace("def create_app(config=None):", f"def create_app(config=None):{warns}")
    (folder / "app.py").write_text(noisy)

    checks = ("--check", "lifecycle.request-ends", "--check", "lifecycle.context-ends")
    ran = run(folder, *MODULE, "app", "--backend", "sqlite", *checks, "--", *parallel)

    (total,) = re.findall(r"^warnings: (\d+); the first of each kind:$", ran.stdout, re.MULTILINE)
    line = r"^  (\w+) \((\d+)\): app\.py:\d+: (?:number 0|first)$"
    kinds = {kind: int(number) for kind, number in re.findall(line, ran.stdout, re.MULTILINE)}
    assert kinds.keys() == {"UserWarning", "DeprecationWarning"}, ran.stdout
    assert sum(kinds.values()) == int(total)
    # Of two apps that are made in one step of a test, pytest shows a UserWarning once.
    assert kinds["UserWarning"] % 3 == 0
    assert kinds["DeprecationWarning"] > 1
    assert "number 1" not in ran.stdout


@pytest.mark.parametrize("parallel", [(), ("-n", "2")])
def test_an_error_that_ends_a_thread_of_the_app_is_a_warning_with_its_line(
    folder: Path, parallel: tuple[str, ...]
) -> None:
    works = """
    def work():
        db_session.execute("SELECT 1")  # outside contexts

    threading.Thread(target=work, name="jobs").start()"""
    source = FACTORY.replace("def create_app(config=None):", f"def create_app(config=None):{works}")
    (folder / "app.py").write_text(source := f"import threading\n{source}")

    checks = ("--check", "lifecycle.request-ends", "--check", "lifecycle.context-ends")
    ran = run(folder, *MODULE, "app", "--backend", "sqlite", *checks, "--", *parallel)

    line = next(number for number, text in enumerate(source.splitlines(), 1) if "# outside" in text)
    found = re.search(r"^  RuntimeError in a thread of the app \((\d+)\): (.+)$", ran.stdout, re.MULTILINE)
    assert found, ran.stdout
    assert int(found[1]) > 1
    assert found[2] == f"app.py:{line}: Working outside of application context."
    assert "threadexception.py" not in ran.stdout


@pytest.mark.parametrize("program", [MODULE, SCRIPT, FLASK])
def test_each_command_lists_and_explains_checks_without_an_app(
    tmp_path: Path, program: tuple[str, ...]
) -> None:
    listed = run(tmp_path, *program, "--list")
    explained = run(tmp_path, *program, "--explain", "lifecycle.held-stream")
    handled = run(tmp_path, *program, "--explain", "lifecycle.handled-error")
    version = run(tmp_path, *program, "--version")

    assert "fails it:   The end of a context commits the writes of its request" in handled.stdout
    assert [line.split()[0] for line in listed.stdout.splitlines()] == list(CHECKS)
    assert "lifecycle.own-session                 data at risk  Each request has" in listed.stdout
    for words in (
        "lifecycle.held-stream\n  claim:      While a streamed response",
        "\n  severity:   availability\n",
        "https://github.com/pallets/flask/issues/6123\n",
        "\n  fails it:   A default of Flask, which an app may change.\n",
    ):
        assert words in explained.stdout
    assert version.stdout == f"flask-sqlalchemy-testbed {metadata.version('flask-sqlalchemy-testbed')}\n"
    assert {listed.returncode, explained.returncode, version.returncode} == {0}
    assert list(tmp_path.iterdir()) == []


def test_an_excluded_check_is_named_and_does_not_run(folder: Path) -> None:
    excluded = ("--exclude", "lifecycle.request-ends", "--exclude", "faults.restart")

    ran = run(folder, *MODULE, "leaky", "--backend", "sqlite", *excluded, "--", "-k", "test_request_ends")

    assert "excluded: faults.restart, lifecycle.request-ends\n" in ran.stdout
    assert ran.returncode == pytest.ExitCode.NO_TESTS_COLLECTED


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--explain", "lifecycle.exits"], "Unknown check lifecycle.exits. Did you mean lifecycle.exit"),
        (["--explain", "lifecycle.nested"], "Did you mean lifecycle.nested-contexts?"),
        (["shop:create_app", "--explain"], "Option '--explain' requires an argument."),
        (["--explain", ""], "--explain is empty. Name a check: --list prints all."),
        (["--bakend", "sqlite"], "--bakend"),
        (["--tb=short"], "Options of pytest follow `--`."),
        (
            ["--backend", "oracle"],
            "Unknown backend 'oracle'. Choose from: sqlite, postgresql, mysql, mariadb.",
        ),
        (["--start-timeout", "long"], "'long' is not a valid float."),
        (["one", "two"], "unexpected extra argument (two)."),
    ],
)
def test_a_usage_error_is_one_line(words: list[str], complaint: str) -> None:
    result = CliRunner().invoke(command, words)

    (line,) = result.output.splitlines()
    assert result.exit_code == 2
    assert complaint in line
    assert line.endswith(" See testbed --help.")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ((), "Name the app: --app myapp:create_app."),
        (("shop",), "--app 'shop'"),
        (("leaky", "--session", "leaky.db"), "--session 'leaky.db'"),
        (("leaky", "--driver", "x=y"), "--driver 'x=y'"),
    ],
)
def test_messages_name_the_options_of_the_command(
    tmp_path: Path, words: tuple[str, ...], complaint: str
) -> None:
    (tmp_path / "leaky.py").write_text(WITHOUT_REMOVE)

    ran = run(tmp_path, *MODULE, "--backend", "sqlite", *words)

    said = ran.stdout + ran.stderr
    assert ran.returncode == 4
    assert complaint in said
    assert not re.search("testbed_[a-z]+ |--testbed-", said)


def test_help_names_short_options_and_sets_none_of_the_tests_of_a_project() -> None:
    text = CliRunner().invoke(command, ["--help"]).output
    one_line = " ".join(text.split())
    assert "(default: sqlite, and postgresql and mysql if a Docker engine answers)" in one_line
    assert re.findall(r"\b(\d) (?=if|for)", one_line.partition("Exit status: ")[2]) == list("012345")

    assert "--linger TIME" in text
    assert not re.search("testbed_|--testbed-|--schema-command", text)


def test_a_database_without_a_server_or_a_driver_is_left_out(folder: Path) -> None:
    (folder / "sitecustomize.py").write_text("import sys\nsys.modules['pymysql'] = None\n")
    ran = run(
        folder,
        *MODULE,
        *ONE[2:],
        PYTHONPATH=str(folder),
        DOCKER_HOST="tcp://127.0.0.1:1",
        TESTBED_POSTGRESQL_URI="",
        TESTBED_MYSQL_URI="",
    )

    assert "The app is not tested on mysql. mysql needs a driver" in ran.stdout
    assert (
        "The app is not tested on postgresql: no Docker engine answers at tcp://127.0.0.1:1. " in ran.stdout
    )
    assert ". Start Docker, or name a server in TESTBED_POSTGRESQL_URI." in ran.stdout
    assert "1 check on 1 backend: 1 passed" in ran.stdout


def test_a_given_server_is_taken_without_docker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TESTBED_POSTGRESQL_URI", "postgresql://x@127.0.0.1/x")
    monkeypatch.delenv("TESTBED_MYSQL_URI", raising=False)

    assert [name for name, backend in BACKENDS.items() if needs_engine(backend)] == ["mysql", "mariadb"]


def test_tracebacks_are_in_the_report_and_printed_on_request(folder: Path) -> None:
    brief = run(folder, *MODULE, "leaky", *ONE, "--report", "testbed-report")
    whole = run(folder, *MODULE, "leaky", *ONE, "--", "--tb=short")

    assert "= FAILURES =" not in brief.stdout
    assert "short test summary" not in brief.stdout
    assert "= FAILURES =" in whole.stdout
    assert "left open: 1 connection" in (folder / "testbed-report" / "index.html").read_text()


def test_a_mistyped_check_leaves_the_last_report(folder: Path) -> None:
    page = folder / "testbed-report" / "index.html"
    page.parent.mkdir()
    page.write_text("The last report.")

    ran = run(folder, *MODULE, "leaky", "--backend", "sqlite", "--check", "lifecycle.request-end")

    assert ran.returncode == 2
    assert (
        "Unknown check lifecycle.request-end. Did you mean lifecycle.request-ends" in ran.stdout + ran.stderr
    )
    assert page.read_text() == "The last report."


ONE_BY_ONE = ["--dist", "load", "--maxschedchunk", "1"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--backend", "sqlite,postgresql"], ["-p", "xdist", "-n", "2", *ONE_BY_ONE]),
        (["--backend", "sqlite,postgresql,mysql"], ["-p", "xdist", "-n", "4", *ONE_BY_ONE]),
        (["--backend", "mysql"], ["-p", "xdist", "-n", "2", *ONE_BY_ONE]),
        (["--backend", "sqlite"], []),
        (["--backend", "sqlite,postgresql", "--check", "lifecycle.thread"], []),
        (["--backend", "sqlite,postgresql", "--", "-n0"], ["-p", "xdist"]),
        (["--backend", "sqlite", "--", "--numprocesses=4"], ["-p", "xdist"]),
        (["--backend", "sqlite,postgresql", "--", "--pdb"], []),
    ],
)
def test_a_backend_with_a_server_is_tested_in_two_processes(
    monkeypatch: pytest.MonkeyPatch, words: list[str], expected: list[str]
) -> None:
    given: list[str] = []

    def main(words: list[str]) -> int:
        given.extend(words)
        return 0

    monkeypatch.setattr(pytest, "main", main)
    # They would change this process for the tests that follow.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setattr("flask_sqlalchemy_testbed.command._prepare_process", lambda: None)
    monkeypatch.setattr(watchdog, "end_without_threads", lambda _status: None)

    CliRunner().invoke(command, ["leaky", *words])

    after = given.index(PLUGIN) + 1
    assert given[after : after + len(expected)] == expected
    assert ("xdist" in given) == bool(expected)


@pytest.mark.bad_day
@pytest.mark.parametrize("option", ["--check", "--exclude"])
def test_an_unknown_check_is_refused_before_pytest_starts(option: str) -> None:
    close = CliRunner().invoke(command, ["leaky", option, "lifecycle.request-end"])
    far = CliRunner().invoke(command, ["leaky", option, "isolation.zzzz"])

    assert (close.exit_code, far.exit_code) == (2, 2)
    assert "Unknown check lifecycle.request-end. Did you mean lifecycle.request-ends" in close.output
    assert "Unknown check isolation.zzzz. Choose from: isolation." in far.output
    assert "lifecycle." not in far.output


@pytest.mark.bad_day
def test_a_run_without_a_check_keeps_the_last_report(folder: Path) -> None:
    assert run(folder, *MODULE, *ONE, "--report", "testbed-report").returncode == 0
    page = folder / "testbed-report" / "index.html"
    before = page.read_bytes()

    refuses = "\n    @app.before_request\n    def refuse():\n        flask.abort(401)\n\n    return app"
    (folder / "app.py").write_text("import flask\n" + FACTORY.replace("\n    return app", refuses))
    ran = run(folder, *MODULE, "--backend", "sqlite")

    assert ran.returncode == 4, ran.stdout + ran.stderr
    assert "401" in ran.stdout
    assert page.read_bytes() == before
    assert "report: " not in ran.stdout


@pytest.mark.bad_day
def test_a_run_of_one_check_keeps_the_report_of_all(folder: Path) -> None:
    page = folder / "testbed-report" / "index.html"
    page.parent.mkdir()
    page.write_text("The last report.")

    ran = run(folder, *MODULE, "leaky", *ONE)

    assert "1 check on 1 backend: 1 failed" in ran.stdout
    assert page.read_text() == "The last report."
