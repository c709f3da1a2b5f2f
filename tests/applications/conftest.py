"""These judge the applications."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.conformance.measured import document, only_if_asked_for, subject

if TYPE_CHECKING:
    import pytest

__all__ = ["document", "subject"]

HERE = Path(__file__).parent


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave these to `pytest tests/applications`."""
    return only_if_asked_for(HERE, collection_path, config)
