"""Collect some folders only on request: their tests need more than the others do.

With TESTS_OF_BACKENDS=1 in the environment, the tests that `make test` runs in the same way are left out:
those that no backend changes, and those of SQLite. The battery stays whole, for its report.
"""

import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from flask_sqlalchemy_testbed.plugin.selection import backend_of
from tests import prepared

HERE = Path(__file__).parent
# They need a browser, a stack, pairs of servers, charts or environments; some import packages of their own.
ON_REQUEST = {"bench", "browser", "coexistence", "failover", "stack"}

# The fixtures of tests that depend on the backends of the run.
OF_BACKENDS = {"testbed_backend", "testbed_server", "project_here", "project_of_its_own", "pytestconfig"}

# The runs that the tests start would annotate the job of this run.
for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "GITHUB_WORKSPACE"):
    os.environ.pop(name, None)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Let the workers of a parallel run share one prepared process."""
    node.workerinput["prepared"] = prepared.address()


def pytest_configure(config: pytest.Config) -> None:
    """Let this worker use the prepared process of its run."""
    if address := getattr(config, "workerinput", {}).get("prepared"):
        prepared.send_to(address)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Ignore these folders unless the command names them, as `pytest tests/stack` does."""
    if collection_path.parent != HERE or collection_path.name not in ON_REQUEST:
        return None
    asked = [(config.invocation_params.dir / arg.split("::")[0]).resolve() for arg in config.args]
    return None if any(path.is_relative_to(collection_path) for path in asked) else True


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> Generator[None, None, None]:
    """Deselect the tests that `make test` has run, if only the others are asked for.

    Then deselect each test that shows the same on any backend, except on the first that it applies to.
    """
    if os.environ.get("TESTS_OF_BACKENDS") == "1":
        _deselect(config, items, {item for item in items if _is_run_by_make_test(item)})
    yield
    _deselect(config, items, _again_on_another_backend(items))


def _deselect(config: pytest.Config, items: list[pytest.Item], others: set[pytest.Item]) -> None:
    items[:] = [item for item in items if item not in others]
    config.hook.pytest_deselected(items=list(others))


def _again_on_another_backend(items: list[pytest.Item]) -> set[pytest.Item]:
    """Return the tests marked with `any_backend` that an earlier item runs on another backend."""
    first: dict[str, str] = {}
    others = set()
    for item in items:
        backend = backend_of(item)
        if backend is not None and item.get_closest_marker("any_backend"):
            claim = item.nodeid.replace(backend.name, "")
            if first.setdefault(claim, backend.name) != backend.name:
                others.add(item)
    return others


def _is_run_by_make_test(item: pytest.Item) -> bool:
    if not OF_BACKENDS & set(getattr(item, "fixturenames", ())):
        return True
    backend = backend_of(item)
    return backend is not None and backend.name == "sqlite" and item.path.is_relative_to(HERE)
