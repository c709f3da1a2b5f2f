"""The fixture `backend`, which makes a test run once for each backend that was asked for."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from flask_sqlalchemy_testbed.backends.base import Backend


def backend_fixture(backends: list[Backend]) -> ModuleType:
    """A module of the one fixture whose parameters are known only when the options are."""
    params = [
        pytest.param(backend, id=backend.name, marks=getattr(pytest.mark, backend.name))
        for backend in backends
    ]

    @pytest.fixture(scope="session", params=params)
    def testbed_backend(request: pytest.FixtureRequest) -> Backend:
        """The kind of database that this test runs on: the test runs once for each that was asked for."""
        return request.param  # type: ignore[no-any-return]

    module = ModuleType("flask_sqlalchemy_testbed.backend_fixture")
    module.testbed_backend = testbed_backend  # type: ignore[attr-defined]
    return module
