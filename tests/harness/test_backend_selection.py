import pytest

from flask_sqlalchemy_testbed.backends import BACKENDS, UnknownBackendError, choose
from tests.harness.projects import Project

EVERY = ",".join(BACKENDS)
ONE_TEST = """
    def test_it(testbed_backend):
        assert testbed_backend.name

    def test_without():
        pass
"""


def test_sqlite_is_the_default(project: Project) -> None:
    project.write(ONE_TEST)
    outcome = project.run("--collect-only", "-q")

    assert outcome.lines("test_inner") == ["test_inner.py::test_it[sqlite]", "test_inner.py::test_without"]


def test_a_test_runs_once_for_each_backend_that_it_uses(project: Project) -> None:
    project.write(ONE_TEST)
    backends = ("--testbed-backend", "sqlite", "--testbed-backend", "mysql,postgresql")
    outcome = project.run("--collect-only", "-q", *backends, DOCKER_HOST="unix:///nowhere.sock")

    assert outcome.lines("test_inner") == [
        "test_inner.py::test_it[sqlite]",
        "test_inner.py::test_it[mysql]",
        "test_inner.py::test_it[postgresql]",
        "test_inner.py::test_without",
    ]


def test_a_mark_selects_from_the_backends_of_the_configuration_file(project: Project) -> None:
    project.write(ONE_TEST)
    outcome = project.run("--collect-only", "-q", "-o", "testbed_backend=postgresql mysql", "-m", "mysql")

    assert outcome.lines("test_inner.py::test_it") == ["test_inner.py::test_it[mysql]"]


def test_an_unknown_backend_is_refused_with_the_known_names(project: Project) -> None:
    outcome = project.run("--testbed-backend", "mysq")

    assert outcome.code == pytest.ExitCode.USAGE_ERROR
    assert outcome.lines("ERROR") == [
        "ERROR: Unknown backend 'mysq'. Choose from: sqlite, postgresql, mysql, mariadb."
    ]


def test_a_backend_named_twice_is_chosen_once() -> None:
    assert choose(["mysql", "sqlite", "mysql"]) == [BACKENDS["mysql"], BACKENDS["sqlite"]]
    with pytest.raises(UnknownBackendError):
        choose(["sqlite", "oracle"])


def test_a_fixture_named_backend_belongs_to_the_project(project: Project) -> None:
    project.write(
        """
        import pytest

        @pytest.fixture
        def backend():
            return "theirs"

        def test_theirs(backend):
            assert backend == "theirs"

        @pytest.mark.parametrize("backend", ["a", "b"])
        def test_parametrized(backend):
            assert backend in "ab"
        """
    )
    outcome = project.run("--testbed-backend", "sqlite")

    assert outcome.code == 0
    assert "3 passed" in outcome.text


def test_a_test_that_does_not_apply_is_counted_not_skipped(project: Project) -> None:
    project.write(
        """
        import pytest

        @pytest.mark.testbed_needs("server")
        def test_it(testbed_backend):
            pass
        """
    )
    outcome = project.run("--collect-only", "--testbed-backend", EVERY)

    assert "not applicable: 1 test (sqlite lacks server)" in outcome.text
    assert "3/4 tests collected (1 deselected)" in outcome.text


def test_other_tests_import_no_sqlalchemy_and_show_no_backend(project: Project) -> None:
    project.write(
        """
        import sys

        def test_theirs(tmp_path):
            assert not {name.partition(".")[0] for name in sys.modules} & {"sqlalchemy", "docker"}
        """
    )
    outcome = project.run_anew("-v")

    assert outcome.code == 0
    assert "sqlite" not in outcome.text
    assert "test_inner.py::test_theirs PASSED" in outcome.text


@pytest.mark.parametrize("option", ["--fixtures", "--setup-plan"])
def test_listing_fixtures_or_tests_starts_no_server(project: Project, option: str) -> None:
    project.write(ONE_TEST)
    outcome = project.run(option, "--testbed-backend", EVERY, DOCKER_HOST="unix:///nowhere.sock")

    assert outcome.code == 0
