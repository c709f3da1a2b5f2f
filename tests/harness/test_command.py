"""`python -m flask_sqlalchemy_testbed`: the battery for those who do not live in pytest."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from flask_sqlalchemy_testbed.__main__ import can_be_had, main
from flask_sqlalchemy_testbed.backends import BACKENDS
from tests.harness.shops import FACTORY, WITHOUT_REMOVE

if TYPE_CHECKING:
    from pathlib import Path

ONE = ("--backend", "sqlite", "--check", "lifecycle.request-ends")


def run(directory: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flask_sqlalchemy_testbed", *words],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(("source", "code"), [(FACTORY, 0), (WITHOUT_REMOVE, 1)])
def test_it_prints_the_matrix_writes_the_report_and_says_how_it_went(
    tmp_path: Path, source: str, code: int
) -> None:
    (tmp_path / "app.py").write_text(source)
    # What is meant for the project's own tests does not stop these.
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n")

    ran = run(tmp_path, *ONE)

    assert ran.returncode == code, ran.stdout + ran.stderr
    assert "battery: app:create_app" in ran.stdout
    assert "1 check on 1 backend: 1 " in ran.stdout
    assert (tmp_path / "testbed-report" / "index.html").exists()


def test_what_follows_two_dashes_is_for_pytest(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(FACTORY)

    ran = run(tmp_path, "shop:create_app", *ONE, "--report", "there", "--", "--collect-only", "-q")

    assert ran.returncode == 0
    assert "test_lifecycle.py::test_request_ends[sqlite]" in ran.stdout


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--bakend", "sqlite"], "unrecognized arguments: --bakend"),
        (["--backend", "oracle"], "unknown backend 'oracle'; choose from: sqlite, postgresql, mysql"),
        (["--start-timeout", "long"], "invalid float value: 'long'"),
        (["one", "two"], "unrecognized arguments: two"),
    ],
)
def test_bad_input_is_one_line(words: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(words)

    (line,) = capsys.readouterr().err.splitlines()
    assert left.value.code == 2
    assert line.startswith("python -m flask_sqlalchemy_testbed: ")
    assert complaint in line


def test_an_app_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    ran = run(tmp_path, "--backend", "sqlite")  # That no Docker engine answers would be another line.

    assert ran.returncode == 4
    (line,) = [line for line in (ran.stdout + ran.stderr).splitlines() if line.strip()]
    assert "neither wsgi.py nor app.py is in" in line


def test_what_cannot_be_had_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    monkeypatch.setenv("TESTBED_POSTGRESQL_URI", "postgresql://x@127.0.0.1/x")
    monkeypatch.delenv("TESTBED_MYSQL_URI", raising=False)

    assert [name for name, backend in BACKENDS.items() if can_be_had(backend)] == ["sqlite", "postgresql"]


def test_tracebacks_are_left_to_the_report_unless_they_are_asked_for(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(WITHOUT_REMOVE)

    brief = run(tmp_path, "shop:create_app", *ONE)
    whole = run(tmp_path, "shop:create_app", *ONE, "--", "--tb=short")

    traceback = "left open: 1 connection"
    assert "= FAILURES =" not in brief.stdout
    assert "short test summary" not in brief.stdout
    assert "= FAILURES =" in whole.stdout
    assert traceback in (tmp_path / "testbed-report" / "index.html").read_text()


def test_a_mistyped_check_costs_no_report(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(WITHOUT_REMOVE)
    run(tmp_path, "shop:create_app", *ONE)
    page = tmp_path / "testbed-report" / "index.html"
    before = page.read_bytes()

    ran = run(tmp_path, "shop:create_app", "--backend", "sqlite", "--check", "lifecycle.request-end")

    assert ran.returncode == 4
    assert (
        "Unknown check lifecycle.request-end. Did you mean lifecycle.request-ends" in ran.stdout + ran.stderr
    )
    assert page.read_bytes() == before
