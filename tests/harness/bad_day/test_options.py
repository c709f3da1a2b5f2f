"""Values of options and of the environment that cannot be right, and folders without room."""

import os
import re
import shlex
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import pytest

from flask_sqlalchemy_testbed.backends import BACKENDS
from flask_sqlalchemy_testbed.backends.base import new_name
from flask_sqlalchemy_testbed.servers import files
from flask_sqlalchemy_testbed.servers.given import given_url
from flask_sqlalchemy_testbed.servers.readiness import ServerError
from tests import prepared
from tests.harness.projects import Project
from tests.harness.shops import FACTORY

pytestmark = pytest.mark.bad_day

SQLITE = BACKENDS["sqlite"]
ONE = ("shop", "--backend", "sqlite", "--check", "lifecycle.request-ends")


def run_command(project: Project, *words: str) -> subprocess.CompletedProcess[str]:
    return prepared.run(["flask_sqlalchemy_testbed", *words], cwd=project.path, env=os.environ, timeout=30)


def test_the_time_limit_of_a_server_is_checked_before_the_first_test(project: Project) -> None:
    outcome = project.run("-o", "testbed_server_timeout=-1")

    assert outcome.lines("ERROR") == [
        "ERROR: testbed_server_timeout is '-1'. Give a number of seconds, such as 30."
    ]


@pytest.mark.parametrize(("value", "code"), [("-1", pytest.ExitCode.USAGE_ERROR), ("0", pytest.ExitCode.OK)])
def test_the_command_takes_no_negative_time_limit_and_0_as_none(
    project: Project, value: str, code: int
) -> None:
    project.write(FACTORY, "shop.py")

    ran = run_command(project, *ONE, "--start-timeout", value)

    assert ran.returncode == code, ran.stderr
    assert ("--start-timeout is '-1.0'. " in ran.stderr) == (code != 0)


@pytest.mark.parametrize(
    "uri",
    [
        "mysql://ada:s3@cr3t@host/db",
        "mysql://ada:s3@cr3t/x@host/db",
        "mysql://ada:s3@cr3t?x@host/db",
        "mysql://ada:s3@cr3t:1/x@host/db",
        "mysql://ada@cr3t:pw@host/db",
        "postgresql://ada:s3@cr3t@host/db",
    ],
)
def test_an_unquoted_at_in_a_uri_is_one_sentence_without_the_password(
    monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    monkeypatch.setenv("TESTBED_MYSQL_URI", uri)
    with pytest.raises(ServerError, match=r"^TESTBED_MYSQL_URI has an @ .* %40 in .* password\.$") as error:
        given_url(BACKENDS["mysql"])

    assert "cr3t" not in str(error.value)


def test_an_at_in_a_value_of_the_query_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TESTBED_MYSQL_URI", "mysql://ada:s3%40cr3t@host/db?init_command=a@b")
    found = given_url(BACKENDS["mysql"])

    assert found is not None
    assert found[1].password == "s3@cr3t"


@pytest.mark.parametrize("driver", ["no_such_driver", "pg8000"])
def test_a_driver_that_is_not_installed_is_one_sentence(project: Project, driver: str) -> None:
    project.backends = ["postgresql"]
    outcome = project.run(TESTBED_POSTGRESQL_URI=f"postgresql+{driver}://ada:s3cr3t@host/db")

    assert outcome.code == pytest.ExitCode.USAGE_ERROR
    (line,) = outcome.lines("ERROR")
    assert line.startswith("ERROR: TESTBED_POSTGRESQL_URI names a driver that cannot be imported: ")
    assert line.endswith(" Install it or name another.")


@pytest.mark.parametrize("memory", ["full", "absent", "not a directory"])
def test_files_fall_back_to_the_temporary_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, memory: str
) -> None:
    place = tmp_path / memory
    if memory == "not a directory":
        place.touch()
    if memory == "full":
        place.mkdir()
        monkeypatch.setattr(files, "room", lambda parent: 0 if parent == place else 1 << 40)
    monkeypatch.setattr(files, "MEMORY", place)
    with closing(files.Directory(SQLITE, new_name())) as directory:
        assert directory.path.parent == Path(tempfile.gettempdir())

    assert not directory.path.exists()
    assert not place.is_dir() or not list(place.iterdir())


def test_where_no_folder_has_room_the_message_names_both(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(files, "room", lambda _: 0)
    monkeypatch.setattr(files, "MEMORY", tmp_path)
    with pytest.raises(ServerError) as error:
        files.Directory(SQLITE, new_name())

    full = os.strerror(28)
    assert str(error.value) == (
        f"No folder can hold the database files ({tmp_path}: {full}; {tempfile.gettempdir()}: {full})."
        " Make room in one of them."
    )


def test_a_killed_run_that_fell_back_is_cleaned_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(files, "MEMORY", tmp_path / "absent")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left = tmp_path / new_name()
    left.mkdir()
    (left / files.PROCESS_FILE).write_text("")

    assert files.sweep() == [left]


@pytest.mark.parametrize(
    "option", [("--testbed-metadata", "models:metadata"), ("--testbed-schema-command", "python make.py")]
)
def test_a_test_that_deletes_its_working_directory_breaks_no_other(
    project_here: Project, option: tuple[str, str]
) -> None:
    project_here.write(
        """
        from sqlalchemy import Column, Integer, MetaData, Table

        metadata = MetaData()
        Table("thing", metadata, Column("id", Integer, primary_key=True))
        """,
        "models.py",
    )
    project_here.write(
        """
        import os
        from sqlalchemy import create_engine
        from models import metadata

        metadata.create_all(create_engine(os.environ["DATABASE_URL"]))
        """,
        "make.py",
    )
    project_here.write(
        """
        import os

        def test_it(testbed_database, tmp_path):
            os.chdir(tmp_path)
            tmp_path.rmdir()

        def test_later(testbed_other_database):
            pass
        """
    )
    outcome = project_here.run(*option)

    assert outcome.code == 0, outcome.text


@pytest.mark.parametrize("name", ["backend", "allow_file", "driver"])
def test_a_list_in_the_configuration_file_that_cannot_be_read_is_one_sentence(
    project: Project, name: str
) -> None:
    project.write(f"[pytest]\ntestbed_{name} = 'sqlite\n", "pytest.ini")
    outcome = project.run()

    assert outcome.code == pytest.ExitCode.USAGE_ERROR
    assert outcome.lines("ERROR") == [
        f"ERROR: testbed_{name} cannot be read: No closing quotation. Correct it."
    ]


def test_a_wrong_truth_value_is_refused_before_the_first_test(project: Project) -> None:
    project.write("[pytest]\ntestbed_promises = maybe\n", "pytest.ini")
    project.write("def test_it(): pass")
    outcome = project.run()

    assert outcome.code == pytest.ExitCode.USAGE_ERROR
    assert outcome.lines("ERROR") == [
        "ERROR: testbed_promises cannot be read: invalid truth value 'maybe'. Correct it."
    ]


@pytest.mark.parametrize("name", ["check", "timeout", "baseline", "matrix", "metadata", "app", "driver"])
def test_an_empty_value_is_a_usage_error(project: Project, name: str) -> None:
    # A variable of CI that is not set.
    project.write("def test_it(): pass")
    outcome = project.run(f"--testbed-{name}", "")

    assert outcome.code == pytest.ExitCode.USAGE_ERROR
    assert outcome.lines("ERROR") == [
        f"ERROR: --testbed-{name} is empty. Give a value, or leave the option out."
    ]


@pytest.mark.parametrize("name", ["check", "baseline", "uri-env"])
def test_an_empty_value_is_a_usage_error_of_the_command_too(project: Project, name: str) -> None:
    project.write(FACTORY, "shop.py")
    ran = run_command(project, "shop", "--backend", "sqlite", f"--{name}", "")

    assert ran.returncode == pytest.ExitCode.USAGE_ERROR
    assert f"ERROR: --{name} is empty. Give a value, or leave the option out." in ran.stderr


def test_an_impossible_name_of_a_variable_is_one_sentence(project: Project) -> None:
    project.write(FACTORY, "shop.py")
    ran = run_command(project, *ONE, "--uri-env", "DATABASE_URL=x")

    assert ran.returncode == pytest.ExitCode.USAGE_ERROR
    assert "--uri-env 'DATABASE_URL=x' cannot be the name of an environment variable." in ran.stderr
    assert "Traceback" not in ran.stdout + ran.stderr


def test_a_deleted_folder_is_one_sentence(project: Project) -> None:
    (project.path / "gone").mkdir()
    words = [sys.executable, "-m", "flask_sqlalchemy_testbed", *ONE]
    script = f"cd gone && rmdir ../gone && exec {shlex.join(words)}"
    ran = subprocess.run(
        ["sh", "-c", script], cwd=project.path, capture_output=True, text=True, timeout=60, check=False
    )

    assert ran.returncode == 2
    assert ran.stderr.splitlines()[-1] == (
        "Error: The current folder was deleted. Change to the folder of your app."
    )


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_closed_outputs_do_not_change_the_verdict(project: Project, closed: str) -> None:
    project.write(FACTORY, "shop.py")
    words = [sys.executable, "-m", "flask_sqlalchemy_testbed", *ONE, "--matrix", "matrix.json"]
    ran = subprocess.run(
        ["sh", "-c", f"exec {shlex.join(words)} {closed}"],
        cwd=project.path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert (project.path / "matrix.json").exists()


WITH_A_THREAD = f"""
import threading

threading.Thread(target=threading.Event().wait, args=[45], name="poll").start()
{FACTORY}
"""


def test_a_thread_of_the_app_does_not_keep_the_run_from_ending(project: Project) -> None:
    project.write(WITH_A_THREAD, "shop.py")
    ran = run_command(project, *ONE)

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stderr.splitlines()[-1] == (
        "The thread 'poll' of the app still runs, and the run ends without it."
        " Start it as a daemon thread, or end it."
    )


@pytest.mark.parametrize("where", ["on import", "on a server"])
def test_a_thread_of_the_app_does_not_keep_a_usage_error_from_ending(
    project_here: Project, where: str
) -> None:
    # An app that cannot connect to a file may connect to a server: it is tried again there.
    error = (
        "raise ValueError('no')" if where == "on import" else "create_app = lambda config: made('nothing://')"
    )
    project_here.write(f"{WITH_A_THREAD}\n{error}", "shop.py")

    outcome = project_here.run("--pyargs", "flask_sqlalchemy_testbed.battery", "--testbed-app", "shop")

    assert outcome.code == pytest.ExitCode.USAGE_ERROR
    assert outcome.text.count("ERROR: --testbed-app 'shop") == 1
    assert outcome.lines("The thread 'poll' of the app still runs, and the run ends without it.")


@pytest.mark.parametrize("module", ["flask_sqlalchemy_testbed", "pytest"])
@pytest.mark.parametrize(
    ("source", "lines"), [(FACTORY, 12), (WITH_A_THREAD, 1)], ids=["app", "app with a thread"]
)
def test_an_output_that_is_read_in_part_ends_the_run(
    project: Project, module: str, source: str, lines: int
) -> None:
    project.write(source, "shop.py")
    (project.path / "tmp").mkdir()
    battery = (
        "--pyargs",
        "flask_sqlalchemy_testbed.battery",
        "--testbed-app",
        "shop",
        "--testbed-backend",
        "sqlite",
    )
    words = (
        (*battery, "-v", "-k", "lifecycle")
        if module == "pytest"
        else ("shop", "--backend", "sqlite", "--", "-v")
    )
    with subprocess.Popen(
        [sys.executable, "-m", module, *words],
        cwd=project.path,
        env={**os.environ, "TMPDIR": str(project.path / "tmp")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        read = [process.stdout.readline() for _ in range(lines)]
        process.stdout.close()
        try:
            _, errors = process.communicate(timeout=30)
        finally:
            process.kill()

    assert "Traceback" not in errors
    assert process.returncode != 0
    assert list((project.path / "tmp").iterdir()) == []
    folders = re.findall(r"files in (.*)\)", "".join(read))
    assert not any(map(os.path.exists, folders))


def test_no_output_is_lost_when_a_thread_of_the_app_runs(project: Project) -> None:
    project.write(WITH_A_THREAD, "shop.py")
    project.write(
        """
        import pytest

        @pytest.hookimpl(tryfirst=True)
        def pytest_sessionfinish(session):  # As Ctrl-C at an unfortunate moment.
            session.config.pluginmanager.get_plugin("capturemanager").resume_global_capture()
        """,
        "resumes.py",
    )
    outcome = project.run(
        *("-p", "resumes", "--pyargs", "flask_sqlalchemy_testbed.battery", "--testbed-app", "shop"),
        *("--testbed-backend", "sqlite", "--testbed-check", "lifecycle.request-ends"),
    )

    assert outcome.code == 0
    assert "1 check on 1 backend: 1 passed" in outcome.text


def test_a_metadata_of_the_configuration_file_that_cannot_be_imported_is_one_sentence(
    project: Project,
) -> None:
    project.write("[pytest]\ntestbed_metadata = nowhere:metadata\n", "pytest.ini")
    project.write("def test_it(database_uri): pass")
    outcome = project.run()

    (line,) = outcome.lines("--testbed-metadata 'nowhere:metadata'")
    assert "No module named 'nowhere'" in line
    assert "testbed_schema" not in outcome.text
