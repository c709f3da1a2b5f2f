"""These judge what `python -m tests.conformance` has found, as those of the peers do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

HERE = Path(__file__).parent
DOCUMENT = Path(__file__).parents[2] / "build" / "conformance.json"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave these to `pytest tests/applications`: the other tests need no environments but their own."""
    asked = [(config.invocation_params.dir / arg.split("::")[0]).resolve() for arg in config.args]
    if any(path.is_relative_to(HERE) for path in asked) or not collection_path.is_relative_to(HERE):
        return None
    return True


@pytest.fixture(scope="session")
def document() -> Mapping[str, Any]:
    if not DOCUMENT.exists():
        pytest.fail("Nothing has been measured yet: run python -m tests.conformance.", pytrace=False)
    found: dict[str, Any] = json.loads(DOCUMENT.read_text(encoding="utf-8"))
    return found
