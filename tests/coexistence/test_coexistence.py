"""The plugin works beside other plugins and in projects with names like its own.

`make test-coexistence` runs it: it installs packages from the package index into environments of its own.
"""

import textwrap
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conformance.environments import ROOT, environment, run, wheel

SECONDS = 120
PLUGINS = (
    *("pytest-ansible", "pytest-cov", "pytest-flask", "pytest-html", "pytest-html-reporter"),
    *("pytest-metadata", "pytest-playwright", "pytest-randomly", "pytest-selenium", "pytest-timeout"),
    "pytest-xdist",
)
# Options that a project may have; an earlier version of this plugin had them without its prefix.
OPTIONS = ("--backend", "--app", "--metadata", "--driver", "--check", "--report")
TESTS = """
    from flask_sqlalchemy_testbed import Database

    def test_rows(testbed_database: Database):
        testbed_database.connection.rows("CREATE TABLE t (x INTEGER)")
        assert testbed_database.connection.rows("SELECT x FROM t") == []
"""
CONFTEST = f"""
    def pytest_addoption(parser):
        for name in {OPTIONS}:
            parser.addoption(name, default="theirs")
"""
THEIRS = f"""
    import testbed

    def test_options(pytestconfig):
        values = [pytestconfig.getoption(name) for name in {OPTIONS}]
        assert values == ["given"] + ["theirs"] * {len(OPTIONS) - 1}

    def test_package():
        assert testbed.OWNER == "the project"
"""


@pytest.fixture(scope="module")
def python_with(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Return a function that installs packages and the wheel of this checkout.

    It returns the Python of the new environment.
    """
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    folder = tmp_path_factory.mktemp("wheels")
    built = wheel(ROOT, folder)

    def install(name: str, *packages: str) -> str:
        requirements = folder / f"{name}.txt"
        requirements.write_text("\n".join([*needed, *packages]))
        return str(environment(f"coexistence-{name}", requirements, [built]))

    return install


def pytest_in(folder: Path, python: str, *options: str) -> str:
    return run([python, "-m", "pytest", "-p", "no:cacheprovider", *options], folder, SECONDS)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    write(tmp_path / "test_rows.py", TESTS)
    return tmp_path


def write(path: Path, source: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(textwrap.dedent(source))


def test_help_and_a_run_work_beside_other_plugins(project: Path, python_with: Callable[..., str]) -> None:
    python = python_with("plugins", *PLUGINS)

    for options in ((), ("-n", "2")):
        outcome = pytest_in(project, python, *options)
        assert "1 passed" in outcome, outcome
    assert "--testbed-backend" in pytest_in(project, python, "--help")


def test_a_project_has_options_and_a_package_of_similar_names(
    project: Path, python_with: Callable[..., str]
) -> None:
    write(project / "conftest.py", CONFTEST)
    write(project / "testbed" / "__init__.py", "OWNER = 'the project'\n")
    write(project / "test_theirs.py", THEIRS)

    outcome = pytest_in(project, python_with("namesakes"), "--backend", "given")

    assert "3 passed" in outcome, outcome
