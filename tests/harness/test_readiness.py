"""A server is ready when the application's user can log in to its database over TCP."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from sqlalchemy import make_url

from flask_sqlalchemy_testbed.backends.base import Backend
from flask_sqlalchemy_testbed.backends.connection import Connection
from flask_sqlalchemy_testbed.battery.gates import Port
from flask_sqlalchemy_testbed.battery.threads import Task
from flask_sqlalchemy_testbed.databases import Database
from flask_sqlalchemy_testbed.plugin import state
from flask_sqlalchemy_testbed.servers.readiness import wait_until_ready


@pytest.mark.testbed_needs("server")
def test_waiting_lasts_until_the_server_can_be_reached_over_tcp(
    testbed_database: Database, testbed_backend: Backend
) -> None:
    gate = Port(testbed_database)
    try:
        waiting = Task(lambda: wait_until_ready(testbed_backend, make_url(gate.uri), where="here", within=30))
        assert not waiting.ended.wait(0.3)
        gate.open()

        waiting.result(30)
    finally:
        gate.shut()


@pytest.mark.testbed_needs("container")
def test_a_server_that_has_just_become_ready_can_be_used(
    testbed_backend: Backend, pytestconfig: pytest.Config
) -> None:
    def work(_: int) -> list[tuple[object, ...]]:
        container = state.run_of(pytestconfig).start_container(testbed_backend)
        try:
            url = container.url()
            wait_until_ready(testbed_backend, url, where=container.source, within=60, container=container)
            with closing(Connection(url, options=testbed_backend.connect_options)) as connection:
                connection.run(["CREATE TABLE cold (id INTEGER)", "INSERT INTO cold VALUES (1)"])
                return connection.rows("SELECT id FROM cold")
        finally:
            container.remove()

    with ThreadPoolExecutor(3) as threads:
        assert list(threads.map(work, range(3))) == [[(1,)]] * 3
