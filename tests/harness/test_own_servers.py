"""Leaks on a check's own server are reported like those on the shared server."""

import pytest

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
def test_a_leak_on_an_own_server_is_reported_and_the_test_counted_once(
    project: Project, testbed_backend: Backend, *, succeeds: bool
) -> None:
    project.backends = [testbed_backend.name]
    project.write(LEAVES_OPEN.format(succeeds=succeeds))
    outcome = project.run()

    assert "left open: 1 connection" in outcome.text
    assert "= 1 failed in" in outcome.lines("=")[-1]


@pytest.mark.testbed_needs("container")
def test_the_starts_of_an_own_server_do_not_count_in_the_time_limit(
    project: Project, testbed_backend: Backend
) -> None:
    project.backends = [testbed_backend.name]
    project.write(
        """
        import pytest, time
        from flask_sqlalchemy_testbed.battery.own_server import own_server, own_servers

        @pytest.mark.testbed_within(4)
        @pytest.mark.testbed_needs("container")
        def test_starts_slowly(own_server, monkeypatch):
            wait = own_server._wait
            monkeypatch.setattr(own_server, "_wait", lambda: [time.sleep(4), wait()])
            own_server.stop()
            own_server.start()
        """
    )

    assert "1 passed" in project.run().text
