"""What `python -m tests.conformance` has found, for the tests that judge it: it runs them in the end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

DOCUMENT = Path(__file__).parents[2] / "build" / "conformance.json"


@pytest.fixture(scope="session")
def document() -> Mapping[str, Any]:
    if not DOCUMENT.exists():
        pytest.fail("Nothing has been measured yet: run python -m tests.conformance.", pytrace=False)
    found: dict[str, Any] = json.loads(DOCUMENT.read_text(encoding="utf-8"))
    return found


@pytest.fixture
def subject(request: pytest.FixtureRequest, document: Mapping[str, Any]) -> Mapping[str, Any]:
    """What was found of the one that the test is parametrized with."""
    name = str(request.param)
    found = {subject["name"]: subject for subject in document["subjects"]}
    if name not in found:
        pytest.skip(f"{name} was not asked for.")
    return dict(found[name])
