"""No output replaces a file that the testbed did not write."""

import json
import os
from pathlib import Path

import pytest

from flask_sqlalchemy_testbed.report import pages
from flask_sqlalchemy_testbed.report.__main__ import main
from tests import prepared
from tests.harness.projects import Outcome, Project
from tests.harness.reports import report
from tests.harness.shops import FACTORY

pytestmark = pytest.mark.bad_day

ONE = (
    *("--pyargs", "flask_sqlalchemy_testbed.battery", "--testbed-app", "shop", "--testbed-backend", "sqlite"),
    *("--testbed-check", "lifecycle.request-ends"),
)


@pytest.fixture
def shop(project: Project) -> Project:
    project.write(FACTORY, "shop.py")
    return project


def assert_refused(outcome: Outcome, sentence: str) -> None:
    assert outcome.lines("ERROR: ") == [f"ERROR: {sentence}"]
    assert "1 passed" not in outcome.text
    assert outcome.code == pytest.ExitCode.USAGE_ERROR


@pytest.mark.parametrize("name", ["index.html", "summary.md", "evidence.json", "matrix.json"])
def test_a_folder_with_files_of_another_program_is_refused(shop: Project, name: str) -> None:
    (shop.path / "docs").mkdir()
    shop.write("{}", f"docs/{name}")

    assert_refused(
        shop.run(*ONE, "--testbed-report", "docs"),
        f"--testbed-report 'docs' holds {name}, which no report wrote. Name another folder, or delete this.",
    )
    assert (shop.path / "docs" / name).read_text() == "{}"


def test_the_default_folder_of_the_command_is_refused_too(shop: Project) -> None:
    (shop.path / "testbed-report").mkdir()
    shop.write("mine", "testbed-report/index.html")
    words = ["flask_sqlalchemy_testbed", "shop", "--backend", "sqlite"]
    ran = prepared.run(words, cwd=shop.path, env=os.environ, timeout=60)

    assert "--report 'testbed-report' holds index.html, which no report wrote." in ran.stdout + ran.stderr
    assert ran.returncode == pytest.ExitCode.USAGE_ERROR


@pytest.mark.parametrize("option", ["report", "matrix", "sarif", "baseline"])
def test_an_output_of_an_earlier_run_is_replaced(shop: Project, option: str) -> None:
    for _ in range(2):
        outcome = shop.run(*ONE, f"--testbed-{option}", "there", CI="")

        assert outcome.code == pytest.ExitCode.OK, outcome.text


@pytest.mark.parametrize("content", ["name,price\n", "[1]", '{"name": "shop"}'])
@pytest.mark.parametrize("option", ["matrix", "sarif", "baseline"])
def test_a_file_of_another_program_is_refused(shop: Project, option: str, content: str) -> None:
    shop.write(content, "package.json")
    outcome = shop.run(*ONE, f"--testbed-{option}", "package.json")

    (line,) = outcome.lines("ERROR: ")
    assert line.startswith(f"ERROR: --testbed-{option} 'package.json' ")
    assert (shop.path / "package.json").read_text() == content
    assert outcome.code == pytest.ExitCode.USAGE_ERROR


def test_an_empty_file_is_taken_for_the_matrix(shop: Project) -> None:
    shop.write("", "matrix.json")

    assert shop.run(*ONE, "--testbed-matrix", "matrix.json").code == pytest.ExitCode.OK
    assert "servers" in json.loads((shop.path / "matrix.json").read_text())


@pytest.mark.parametrize("option", ["matrix", "sarif", "baseline"])
def test_a_pipe_is_refused(shop: Project, option: str) -> None:
    os.mkfifo(shop.path / "pipe")  # As is a device such as /dev/null, which root could replace by a file.

    assert_refused(
        shop.run(*ONE, f"--testbed-{option}", "pipe"),
        f"--testbed-{option} 'pipe' is no regular file. Name another place.",
    )
    assert (shop.path / "pipe").is_fifo()


def test_two_outputs_in_one_file_are_refused(shop: Project) -> None:
    words = ("--testbed-matrix", "there.json", "--testbed-baseline", "./there.json")
    outcome = shop.run(*ONE, *words, CI="")

    (line,) = outcome.lines("ERROR: ")
    assert line.endswith(" name the same place. Name two.")
    assert not (shop.path / "there.json").exists()


def test_a_merged_report_replaces_no_file_of_another_program(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pages.write(tmp_path / "one", report())
    page = tmp_path / "docs" / "index.html"
    page.parent.mkdir()
    page.write_text("mine")

    assert main([str(tmp_path / "one" / "matrix.json"), "--output", str(page.parent)]) == 2
    assert f"--output '{page.parent}' holds index.html, which no report wrote." in capsys.readouterr().err
    assert page.read_text() == "mine"
