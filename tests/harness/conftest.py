"""Projects with their own tests, which run on the servers of this run or on others."""

from pathlib import Path

import pytest

from flask_sqlalchemy_testbed import redaction
from flask_sqlalchemy_testbed.plugin import state
from flask_sqlalchemy_testbed.servers.given import variable
from flask_sqlalchemy_testbed.servers.network import expected_capabilities
from tests.harness.projects import Project

# The apps of test_ordinary_apps.py; one has a conftest.py, which nothing may import.
collect_ignore = ["ordinary"]


@pytest.fixture(autouse=True)
def passwords_of_one_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the passwords of a test, which are ordinary words in the messages of the next ones."""
    monkeypatch.setattr(redaction, "_known", redaction._known)  # noqa: SLF001 - kept to be restored


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Return a project whose tests need no server."""
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers\nfilterwarnings = error\n")
    return Project(tmp_path)


@pytest.fixture
def project_here(project: Project, pytestconfig: pytest.Config) -> Project:
    """Return a project whose tests run on the servers of this run, given by their URIs."""
    return with_servers_of_this_run(project, pytestconfig)


@pytest.fixture
def project_on_one(project: Project, pytestconfig: pytest.Config) -> Project:
    """Return a project whose tests run on the first backend of this run: each backend shows the same."""
    return with_servers_of_this_run(project, pytestconfig, most=1)


def with_servers_of_this_run(project: Project, config: pytest.Config, most: int | None = None) -> Project:
    for backend in config.stash[state.BACKENDS][:most]:
        project.backends.append(backend.name)
        if url := state.run_of(config).server(backend).url:
            project.environment[variable(backend)] = url.render_as_string(hide_password=False)
    return project


@pytest.fixture
def project_of_its_own(project: Project, pytestconfig: pytest.Config) -> Project:
    """Return a project that starts its own servers, for the backends of this run."""
    chosen = pytestconfig.stash[state.BACKENDS]
    project.backends = [backend.name for backend in chosen if "throwaway" in expected_capabilities(backend)]
    return project
