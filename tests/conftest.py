"""Collect some folders only on request: their tests need more than the others do."""

import os
from pathlib import Path

import pytest

HERE = Path(__file__).parent
# They need a browser, a composed stack, charts or environments; some import packages of their own.
ON_REQUEST = {"bench", "browser", "coexistence", "stack"}

# The runs that the tests start would annotate the job of this run.
for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "GITHUB_WORKSPACE"):
    os.environ.pop(name, None)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Ignore these folders unless the command names them, as `pytest tests/stack` does."""
    if collection_path.parent != HERE or collection_path.name not in ON_REQUEST:
        return None
    asked = [(config.invocation_params.dir / arg.split("::")[0]).resolve() for arg in config.args]
    return None if any(path.is_relative_to(collection_path) for path in asked) else True
