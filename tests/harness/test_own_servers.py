"""Servers of a check's own are looked after as closely as the one that all share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from flask_sqlalchemy_testbed.backends.base import Backend
    from tests.harness.projects import Project

LEAVES_OPEN = """
    import pytest
    from sqlalchemy import create_engine, text
    from flask_sqlalchemy_testbed.battery.own_server import own_server, own_servers

    kept = []

    @pytest.mark.testbed_needs("container")
    def test_leaves_a_transaction(own_server):
        kept.append(create_engine(own_server.database.uri).connect())
        kept[-1].execute(text("SELECT 1"))
        assert {succeeds}
"""


@pytest.mark.testbed_needs("container")
@pytest.mark.parametrize("succeeds", [True, False])
def test_what_is_left_open_there_is_told_and_the_test_counted_once(
    project: Project, testbed_backend: Backend, *, succeeds: bool
) -> None:
    project.backends = [testbed_backend.name]
    project.write(LEAVES_OPEN.format(succeeds=succeeds))
    outcome = project.run()

    assert "left open: 1 connection" in outcome.text
    # As with the server that all share: the test has passed, and what it left has failed.
    assert ("1 failed, 1 passed in" if succeeds else "1 failed in") in outcome.lines("=")[-1]
