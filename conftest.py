"""Of this repository's own runs, in which the tests of its app and the battery share a process."""

from __future__ import annotations

import sys

import pytest


@pytest.fixture(autouse=True)
def no_engine_of_another_test(request: pytest.FixtureRequest) -> None:
    """The promises count the engines that are live: on this repository's app, each check begins with none."""
    database = sys.modules.get("app.database")
    if database is None or request.path.name != "test_promises.py" or request.config.getoption("testbed_app"):
        return
    database.db_session.remove()
    for binding in list(database._live.values()):  # noqa: SLF001 - no app is left to ask
        binding.bind(None)
