"""The benchmark's own arithmetic and charts: run by `make bench`, which installs what draws them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

HERE = Path(__file__).parent


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave these to `pytest tests/bench`: the other tests need no matplotlib."""
    asked = [(config.invocation_params.dir / arg.split("::")[0]).resolve() for arg in config.args]
    if any(path.is_relative_to(HERE) for path in asked) or not collection_path.is_relative_to(HERE):
        return None
    return True
