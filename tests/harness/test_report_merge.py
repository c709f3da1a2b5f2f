import json
from pathlib import Path

import pytest

from flask_sqlalchemy_testbed.report import markdown, pages
from flask_sqlalchemy_testbed.report.__main__ import main
from flask_sqlalchemy_testbed.report.merge import merge
from flask_sqlalchemy_testbed.report.summary import counts
from tests.harness.reports import report


def test_the_columns_of_all_jobs_are_merged() -> None:
    merged = merge({"a": report("sqlite", "3.50"), "b": report("postgresql", "18.1")})

    assert list(merged["servers"]) == ["sqlite", "postgresql"]
    holds, breaks, elsewhere = merged["checks"]
    assert holds["results"] == {"sqlite": "passed", "postgresql": "passed"}
    assert breaks["reasons"] == {"sqlite": "assert 1 == 2", "postgresql": "assert 1 == 2"}
    assert elsewhere["results"] == {"sqlite": "not applicable", "postgresql": "not applicable"}
    assert list(merged["evidence"]["binding.holds"]) == ["sqlite", "postgresql"]


def test_columns_of_one_backend_are_named_after_versions() -> None:
    merged = merge({"a": report("mysql", "8.4.6"), "b": report("mysql", "9.7.0 (Debian)")})

    assert list(merged["servers"]) == ["mysql 8.4.6", "mysql 9.7.0"]


def test_the_names_of_columns_have_the_numbers_of_versions_alone() -> None:
    merged = merge(
        {"a": report("mariadb", "10.11.14-MariaDB-0+deb12u2"), "b": report("mariadb", "11.8.6-MariaDB")}
    )

    assert list(merged["servers"]) == ["mariadb 10.11.14", "mariadb 11.8.6"]


def test_columns_of_one_version_are_named_after_jobs() -> None:
    merged = merge({"python-3.11": report("sqlite", "3.50"), "python-3.14": report("sqlite", "3.50")})

    assert list(merged["servers"]) == ["sqlite 3.50 (python-3.11)", "sqlite 3.50 (python-3.14)"]


def test_different_versions_of_a_package_are_all_listed() -> None:
    older = report("sqlite", "3.50")
    older["software"]["Flask"] = "3.0.3"
    merged = merge({"a": report(), "b": older})

    assert merged["software"] == {"Python": "3.14.0", "Flask": "3.0.3, 3.1.3"}


def test_a_check_that_one_job_lacks_has_no_result_there() -> None:
    other = report("sqlite", "3.50")
    del other["checks"][0]
    merged = merge({"a": report(), "b": other})

    assert merged["checks"][0]["results"] == {"postgresql": "passed"}


def test_the_command_names_jobs_after_the_paths_of_their_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = []
    for job in ("report-3.11", "report-3.14"):
        path = tmp_path / "jobs" / job / "report" / "evidence.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(report("sqlite", "3.50")))
        files.append(str(path))

    assert main([*files, "--output", str(tmp_path / "all")]) == 0

    found = json.loads((tmp_path / "all" / "matrix.json").read_text())
    assert list(found["servers"]) == ["sqlite 3.50 (report-3.11)", "sqlite 3.50 (report-3.14)"]
    assert capsys.readouterr().out.startswith("3 checks on 2 backends: 2 passed, 2 failed, 2 not applicable")


def test_the_command_accepts_a_matrix_and_can_fail(tmp_path: Path) -> None:
    path = tmp_path / "matrix.json"
    path.write_text(json.dumps({"servers": report()["servers"], "checks": report()["checks"]}))

    assert main([str(path), "--output", str(tmp_path / "out"), "--check"]) == 1
    assert "has no evidence" in (tmp_path / "out" / "index.html").read_text()


def test_the_command_refuses_other_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "other.json"
    path.write_text("[]")

    assert main([str(path), "--output", str(tmp_path / "out")]) == 2
    assert f"{path} is not a report. Give matrix.json or evidence.json of a run." in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_markdown_has_failures_first_and_folded_tables() -> None:
    text = markdown.render(report())

    assert text.startswith("## shop:create_app: 1 of 3 checks failed\n")
    assert "  - **Evidence** (postgresql): `assert 1 == 2`\n- **Reported:** One app silently" in text
    assert "- **Remedy:** Mend it.\n- ❌ `lifecycle.breaks` failed on postgresql" in text
    assert "<https://github.com/level12/keg/issues/96>\n" in text
    assert text.index("### 1. lifecycle.breaks\n") < text.index("<details>")
    assert "| binding.holds<br><sub>It holds.</sub> | ✅ passed |" in text


@pytest.mark.bad_day
def test_the_command_does_not_read_its_own_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = []
    for backend in ("sqlite", "postgresql"):
        path = tmp_path / backend / "evidence.json"
        path.parent.mkdir()
        path.write_text(json.dumps(report(backend, "3.50")))
        files.append(str(path))
    output = tmp_path / "report"

    assert main([*files, "--output", str(output)]) == 0
    first = capsys.readouterr().out
    assert main([*files, str(output / "evidence.json"), "--output", str(output)]) == 0

    assert capsys.readouterr().out == first


@pytest.mark.bad_day
def test_a_file_that_is_missing_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = tmp_path / "evidence.json"

    assert main([str(missing), "--output", str(tmp_path / "report")]) == 2
    assert capsys.readouterr().err == (
        f"python -m flask_sqlalchemy_testbed.report: {str(missing)!r} cannot be read:"
        " No such file or directory. Name the evidence.json of each run.\n"
    )


@pytest.mark.parametrize(("number", "words"), [(1, "1 known failure"), (2, "2 known failures")])
def test_known_failures_are_counted_in_the_plural(number: int, words: str) -> None:
    results = {f"backend{i}": "known failure" for i in range(number)}
    one = report()
    one["checks"] = [{**one["checks"][0], "results": results}]

    assert counts(one).endswith(f": {words}")


@pytest.mark.bad_day
def test_a_new_folder_of_a_report_is_ignored_by_git(tmp_path: Path) -> None:
    pages.write(tmp_path / "new", report())
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "notes.txt").touch()
    pages.write(tmp_path / "old", report())

    assert (tmp_path / "new" / ".gitignore").read_text() == "*\n"
    assert not (tmp_path / "old" / ".gitignore").exists()
