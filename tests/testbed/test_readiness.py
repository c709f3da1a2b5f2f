"""What is said to be ready is: over TCP, for the application's user, in the application's database."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import make_url

from testbed import stash
from testbed.battery.gates import Port
from testbed.battery.threads import Task
from testbed.connections import Connection
from testbed.readiness import wait_until_ready
from testbed.servers import DATABASE, PASSWORD, USER

if TYPE_CHECKING:
    from testbed.backend import Backend
    from testbed.databases import Database
    from testbed.servers import NetworkServer

COLD_STARTS = 3


@pytest.mark.needs("server")
def test_a_server_that_cannot_be_reached_over_tcp_yet_is_waited_for(
    database: Database, backend: Backend
) -> None:
    gate = Port(database)
    try:
        waiting = Task(lambda: wait_until_ready(backend, make_url(gate.uri), where="here", within=30))
        assert not waiting.ended.wait(0.3)
        gate.open()

        waiting.result(30)
    finally:
        gate.shut()


@pytest.mark.needs("container")
def test_every_cold_start_is_ready_when_it_says_so(backend: Backend, pytestconfig: pytest.Config) -> None:
    def work(_: int) -> list[tuple[object, ...]]:
        container = stash.run_of(pytestconfig).start_container(backend)
        try:
            url = container.url(backend.drivername, USER, PASSWORD, DATABASE)
            wait_until_ready(backend, url, where=container.source, within=60, container=container)
            connection = Connection(url, options=backend.connect_options)
            connection.run(["CREATE TABLE cold (id INTEGER)", "INSERT INTO cold VALUES (1)"])
            rows = connection.rows("SELECT id FROM cold")
            connection.close()
            return rows
        finally:
            container.remove()

    with ThreadPoolExecutor(COLD_STARTS) as threads:
        assert list(threads.map(work, range(COLD_STARTS))) == [[(1,)]] * COLD_STARTS


@pytest.mark.needs("container")
def test_the_url_of_a_throwaway_server_names_the_driver_installed(server: NetworkServer) -> None:
    assert server.url.drivername == server.backend.drivername
    assert server.url.get_dialect().import_dbapi().__name__ == server.url.get_driver_name()
