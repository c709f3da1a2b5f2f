"""A fixture `testbed_schema` of the user that fails is said once."""

import pytest

from tests.harness.bad_day.test_outages import MANY, NOT_RUN, TWO, said
from tests.harness.projects import Project

pytestmark = pytest.mark.bad_day

FIXTURE = """
    import pytest

    def build():
        raise RuntimeError("the seed is missing")

    @pytest.fixture(scope="session")
    def testbed_schema():
        build()
"""
FUNCTION = """
    import pytest

    def build(uri):
        raise RuntimeError("the seed is missing")

    @pytest.fixture(scope="session")
    def testbed_schema():
        return build
"""
FAILS = FIXTURE.replace("raise RuntimeError(", "pytest.fail(")
PARALLEL = pytest.mark.parametrize("parallel", [(), TWO], ids=["one process", "two workers"])


@PARALLEL
@pytest.mark.parametrize("source", [FIXTURE, FUNCTION, FAILS], ids=["fixture", "function", "fail"])
def test_a_schema_of_the_user_that_fails_is_said_once(
    project_here: Project, source: str, parallel: tuple[str, ...]
) -> None:
    project_here.write(source, "conftest.py")
    project_here.write(MANY)
    outcome = project_here.run(*parallel)

    count = len(project_here.backends)
    kind = "Failed" if source is FAILS else "RuntimeError"
    assert outcome.code == pytest.ExitCode.TESTS_FAILED
    assert f"= {20 * count} not run in" in outcome.lines("=")[-1]
    reason, *frames, end = said(outcome)
    assert reason == f"The fixture testbed_schema failed: {kind}: the seed is missing. Correct it. It was in:"
    assert frames[0].startswith("  conftest.py:5 in build")
    assert end == NOT_RUN.format(20 * count)
    assert outcome.text.count("the seed is missing") == 1


def test_tests_with_another_schema_are_run(project: Project) -> None:
    project.write(FIXTURE + MANY, "test_broken.py")
    project.write(MANY, "test_sound.py")
    outcome = project.run("--testbed-backend", "sqlite")

    assert "= 20 passed, 20 not run in" in outcome.lines("=")[-1]
    assert outcome.code == pytest.ExitCode.TESTS_FAILED


def test_one_broken_variant_of_a_schema_leaves_the_others(project: Project) -> None:
    project.write(
        """
        import pytest

        @pytest.fixture(scope="session", params=["old", "new"])
        def testbed_schema(request):
            if request.param == "old":
                raise RuntimeError("too old")

        @pytest.mark.parametrize("which", range(3))
        def test_it(testbed_database, which):
            pass
        """
    )
    outcome = project.run("--testbed-backend", "sqlite")

    assert "= 3 passed, 3 not run in" in outcome.lines("=")[-1]
    assert len(said(outcome)) == 3


def test_a_schema_that_skips_its_tests_is_no_failure(project: Project) -> None:
    project.write(FIXTURE.replace("raise RuntimeError(", "pytest.skip("), "conftest.py")
    project.write(MANY)
    outcome = project.run("--testbed-backend", "sqlite")

    assert "= 20 skipped in" in outcome.lines("=")[-1]
    assert outcome.code == pytest.ExitCode.OK


def test_a_password_in_the_error_is_not_shown(project: Project) -> None:
    project.write(
        FUNCTION.replace('"the seed is missing"', '"postgresql://ada:s3cr3t@host/db is away"'), "conftest.py"
    )
    project.write(MANY)
    outcome = project.run("--testbed-backend", "sqlite")

    assert "@host/db is away" in outcome.text
    assert "s3cr3t" not in outcome.text


def test_the_standard_library_is_left_out_of_the_calls(project: Project) -> None:
    project.write(
        """
        import json
        import pytest

        @pytest.fixture(scope="session")
        def testbed_schema():
            json.loads("{")
        """,
        "conftest.py",
    )
    project.write(MANY)
    _, *frames, _ = said(project.run("--testbed-backend", "sqlite"))

    assert frames == ["  conftest.py:7 in testbed_schema"]


def test_the_output_of_a_command_may_be_no_text(project: Project) -> None:
    project.write("import sys; sys.stdout.buffer.write(b'no \\xff'); raise SystemExit(1)", "make.py")
    project.write(MANY)
    reason, line, _ = said(
        project.run("--testbed-backend", "sqlite", "--testbed-schema-command", "python make.py")
    )

    assert reason == "--testbed-schema-command 'python make.py' ended with status 1; it wrote:"
    assert line == "  no \N{REPLACEMENT CHARACTER}"


def test_a_command_without_a_word_is_refused(project: Project) -> None:
    project.write(MANY)
    outcome = project.run("--testbed-schema-command", " ")

    assert outcome.lines("ERROR") == ["ERROR: --testbed-schema-command ' ' names no command. Name one."]
    assert outcome.code == pytest.ExitCode.USAGE_ERROR
