"""These judge the peers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .measured import document, only_if_asked_for, subject

if TYPE_CHECKING:
    import pytest

__all__ = ["document", "subject"]

# They run in the peers' environments, as `reproduce` does it.
collect_ignore = ["peers", "reproductions"]


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave these to `pytest tests/conformance`."""
    return only_if_asked_for(Path(__file__).parent, collection_path, config)
