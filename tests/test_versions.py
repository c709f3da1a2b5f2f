"""`make test-versions` shows each version on one page, and fails if one of them was not tested."""

import json
import re
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]

from flask_sqlalchemy_testbed.backends import BACKENDS
from flask_sqlalchemy_testbed.report import matrix
from tests import versions
from tests.harness.reports import report
from tests.versions import Version, VersionError, main, with_tests

ROOT = Path(__file__).parents[1]
PASSED = '<testcase classname="tests.ledger.test_pages" name="test_it[postgresql]" time="0.5"/>'
JUNIT = """<testsuites><testsuite>
<testcase classname="tests.binding.test_engine" name="test_it[postgresql]" time="0.5"/>
<testcase classname="tests.binding.test_engine" name="test_other[postgresql]" time="0.5">
<failure message="assert 1 == 2">E  assert 1 == 2</failure></testcase>
{ledger}
<testcase classname="flask_sqlalchemy_testbed.battery.test_x" name="test_holds[postgresql]" time="0.5"/>
</testsuite></testsuites>"""


@pytest.fixture
def without_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the engine have no image, and forbid to make one; return the folder of the page."""
    (tmp_path / "docker").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("ENGINE", "no")
    monkeypatch.setattr(versions, "OUTPUT", tmp_path / "page")
    return tmp_path / "page"


def test_the_image_of_a_version_comes_from_the_place_of_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTGRESQL_IMAGE", "localhost:5000/mirror/postgres:18")

    assert Version.of("postgresql:15").image == "localhost:5000/mirror/postgres:15"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("oracle:23", "Unknown backend 'oracle'. Choose from: postgresql, mysql, mariadb."),
        ("sqlite:3.50", "Unknown backend 'sqlite'. Choose from: postgresql, mysql, mariadb."),
        ("postgresql", "'postgresql' names no version. Write it as BACKEND:VERSION."),
    ],
)
def test_a_version_that_is_none_is_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(VersionError, match=f"^{re.escape(sentence)}$"):
        Version.of(text)


@pytest.mark.bad_day
def test_versions_that_cannot_be_had_fail_the_command_and_are_on_the_page(
    without_images: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["postgresql:1", "postgresql:2"]) == 1

    out, err = capfd.readouterr()
    assert "postgresql 1: not tested: some of postgres:1 are missing. ENGINE=no prevents" in out
    assert "Traceback" not in err
    servers = json.loads((without_images / "matrix.json").read_text())["servers"]
    assert list(servers) == ["postgresql 1", "postgresql 2"]
    assert servers["postgresql 1"]["source"].startswith("not tested: some of postgres:1 are missing.")
    assert "not tested: some of postgres:1 are missing." in (without_images / "index.html").read_text()


def test_no_check_was_run_on_a_version_that_was_not_tested() -> None:
    tested = versions.Result(report(version="18.1"), "postgresql 18: ...")
    missing = versions.not_tested(Version.of("postgresql:16"), "there is no image")

    page = versions.merged({"postgresql 16": missing, "postgresql 18": tested})

    assert page["checks"][0]["results"] == {"postgresql 16": "not run", "postgresql 18.1": "passed"}
    assert page["checks"][0]["reasons"]["postgresql 16"] == "there is no image"


@pytest.mark.parametrize(("status", "passed"), [(0, True), (1, False)])
def test_a_version_passes_if_pytest_passes(tmp_path: Path, status: int, passed: bool) -> None:  # noqa: FBT001 - a parameter
    (tmp_path / "evidence.json").write_text(json.dumps(report()))
    (tmp_path / "junit.xml").write_text(JUNIT.format(ledger=PASSED))

    found = versions.result(Version.of("postgresql:18"), tmp_path, status, 61.2)

    counted = "1 passed, 1 failed, 1 not applicable"
    assert found.line == f"postgresql 18: {counted}; tests.binding: failed; tests.ledger: passed (61 s)"
    assert found.passed == passed


@pytest.mark.bad_day
def test_a_run_that_wrote_no_report_is_a_version_that_was_not_tested(tmp_path: Path) -> None:
    found = versions.result(Version.of("mysql:8.4"), tmp_path, 3, 1.0)

    assert found.line == "mysql 8.4: not tested: pytest ended with status 3 and wrote no report"
    assert not found.passed


def test_the_page_shows_the_tests_of_the_binding_and_the_ledger() -> None:
    found = with_tests(report(), JUNIT.format(ledger=PASSED), "postgresql")

    binding, ledger = found["checks"][-2:]
    assert (binding["id"], ledger["id"]) == ("tests.binding", "tests.ledger")
    assert binding["results"] == {"postgresql": "failed"}
    assert binding["reasons"] == {"postgresql": "test_other[postgresql]: assert 1 == 2"}
    assert found["evidence"]["tests.binding"]["postgresql"][0]["failure"] == "E  assert 1 == 2"
    assert ledger["results"] == {"postgresql": "passed"}
    assert ledger["reasons"] == {"postgresql": "1 passed"}


def test_a_skipped_test_is_shown_with_its_reason() -> None:
    skipped = PASSED.replace("/>", '><skipped message="no IPv6 here"/></testcase>')
    found = with_tests(report(), JUNIT.format(ledger=PASSED + skipped), "postgresql")

    assert found["checks"][-1]["results"] == {"postgresql": "passed"}
    assert found["checks"][-1]["reasons"] == {"postgresql": "1 passed, 1 not applicable (no IPv6 here)"}


def test_tests_that_did_not_run_are_not_passed() -> None:
    found = with_tests(report(), JUNIT.format(ledger=""), "postgresql")

    assert found["checks"][-1]["results"] == {"postgresql": "not run"}


def test_ci_tests_each_version() -> None:
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]
    (words,) = re.findall(r"^VERSIONS \?= (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    tested = {
        f"{name}:{version}"
        for name in BACKENDS
        for version in jobs[name]["strategy"]["matrix"].get("version", [])
    }

    assert set(words.split()) <= tested


def test_a_written_page_matches_the_schema() -> None:
    import jsonschema  # noqa: PLC0415 - of this test alone

    found = with_tests(report(), JUNIT.format(ledger=PASSED), "postgresql")

    jsonschema.validate(matrix.matrix_of(found), json.loads(matrix.SCHEMA.read_text()))
