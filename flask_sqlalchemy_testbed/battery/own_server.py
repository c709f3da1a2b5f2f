"""Servers that one check at a time may stop, freeze, disconnect or fill."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import time
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

import pytest

from flask_sqlalchemy_testbed.backends.polling import identity_positions
from flask_sqlalchemy_testbed.backends.replication import REPLICATION
from flask_sqlalchemy_testbed.battery.observer import observer
from flask_sqlalchemy_testbed.isolation import Isolation
from flask_sqlalchemy_testbed.plugin import state
from flask_sqlalchemy_testbed.plugin.failures import fail_for_leaks
from flask_sqlalchemy_testbed.plugin.watchdog import RESCUES, untimed
from flask_sqlalchemy_testbed.servers import images
from flask_sqlalchemy_testbed.servers.network import NetworkServer
from flask_sqlalchemy_testbed.servers.processes import ProcessId
from flask_sqlalchemy_testbed.servers.readiness import wait_until_ready
from flask_sqlalchemy_testbed.servers.reaper import PROCESS_LABEL, RUN_LABEL

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from docker.models.containers import Container as DockerContainer
    from docker.models.networks import Network

    from flask_sqlalchemy_testbed.backends.base import Backend
    from flask_sqlalchemy_testbed.databases import Database

WITHIN = 30.0
# Like a remote server: in another time zone than its clients, and with few connections.
FLAGS = {
    "postgresql": ("-c", "timezone=Asia/Tokyo", "-c", "max_connections=20"),
    "mysql": ("--default-time-zone=+09:00", "--max-connections=20"),
}
# Statements of the superuser after which new connections check no foreign keys, and check them again. Rows
# may refer to each other in a circle.
FOREIGN_KEYS = {
    "postgresql": (
        "ALTER DATABASE {} SET session_replication_role = replica",
        "ALTER DATABASE {} RESET session_replication_role",
    ),
    "mysql": ("SET GLOBAL foreign_key_checks = 0", "SET GLOBAL foreign_key_checks = 1"),
}


class OwnServer:
    """A throwaway server with one database that has the battery's tables.

    Its data is in memory, which ends with it: `start` creates empty tables, and `restart` restores the rows.
    The time in which the server starts and stops does not count in the time limit of the check.
    """

    def __init__(
        self,
        config: pytest.Config,
        backend: Backend,
        schema: Callable[[str], None] | None,
        *,
        flags: Sequence[str] = (),
        size: int | None = None,
    ) -> None:
        self.backend = backend
        self._schema = schema
        self.name = f"testbed_{secrets.token_hex(6)}"
        self._config = config
        self._run = run = state.run_of(config)
        self._client = images.connect(backend)
        self._network: Network | None = None
        with untimed(config):
            self._container = run.start_container(backend, flags=flags, size=size, port=_free_port())
            self._wait()
        self.server = NetworkServer(
            backend, self._url, source=self._container.source, container=self._container
        )
        self._pooler = run.put_behind_pooler(self.server, self._container, within=WITHIN)
        self._isolation = self._create_database()

    @property
    def database(self) -> Database:
        """Return the server's database, which a restart replaces."""
        return self._isolation.database

    @property
    def direct_uri(self) -> str:
        """Return a URI through a network of its own, which `cut` disconnects.

        While the network exists, no other container gets the server's address there.
        """
        if self._network is None:
            labels = {RUN_LABEL: self._run.name, PROCESS_LABEL: str(ProcessId.of(os.getpid()))}
            self._network = self._client.networks.create(self.name, labels=labels)
            self._network.connect(self._container.id)
        host = self._docker().attrs["NetworkSettings"]["Networks"][self.name]["IPAddress"]
        _, port = self._container.address
        return self.database.url.set(host=host, port=port).render_as_string(hide_password=False)

    def clean(self) -> None:
        """Create the tables, or empty them."""
        self._isolation.clean(self._schema)

    def administer(self, *statements: str) -> None:
        """Execute the statements as the superuser, who can log in inside the container alone."""
        for statement in statements:
            self._container.execute(*REPLICATION[self.backend.name].superuser, statement)

    def kill(self) -> None:
        """Kill the server, as a power cut would."""
        self._docker().kill()

    def stop(self) -> None:
        """Stop the server, as an administrator would; it is killed if that takes ten seconds."""
        with untimed(self._config):
            self._docker().stop(timeout=10)

    def start(self) -> None:
        """Start the server again at the same address, and create the empty tables."""
        with untimed(self._config):
            self._docker().start()
            self._wait()
        if self._pooler is not None:  # Docker may have given the server another address.
            self._pooler.execute("sh", "/opt/testbed/serve", "lead", *self._container.host_and_port)
        self._isolation.database.connection.close()
        self._isolation = self._create_database()
        self.clean()

    def restart(self, end: Callable[[], None]) -> None:
        """End the server with `end`, which is `kill` or `stop`, and start it again with the same rows."""
        # Not through a pooler, which would keep the connections that check no foreign keys.
        uri = self._url.set(database=self.name).render_as_string(hide_password=False)
        positions = identity_positions(self.backend, self.database.connection)
        observer().observe("keep_rows", uri)
        end()
        self.start()
        check_none, check_again = self.backend.of(FOREIGN_KEYS)
        self.administer(check_none.format(self.name))
        try:
            observer().observe("restore_rows", uri)
        finally:
            self.administer(check_again.format(self.name))
        self.database.connection.run(list(positions.values()))

    def pause(self) -> None:
        """Freeze the server: its sockets accept data, but no query is executed."""
        self._docker().pause()

    def cut(self) -> None:
        """Disconnect the network of `direct_uri`: packets are lost, and neither side gets an error."""
        if self._network is not None:
            self._network.disconnect(self._container.id)

    def mend(self) -> None:
        """Undo `pause`, `cut`, `stop` and `kill`."""
        docker = self._docker()
        if docker.status == "paused":
            docker.unpause()
            docker.reload()
        if self._network is not None and self.name not in docker.attrs["NetworkSettings"]["Networks"]:
            self._network.connect(self._container.id)
        if docker.status != "running":
            self.start()

    def close(self) -> None:
        """Remove the server and its network."""
        self._isolation.database.connection.close()
        self.server.close()
        if self._network is not None:
            self._network.remove()

    def _create_database(self) -> Isolation:
        self.server.create(self.name)
        return Isolation(self.server, self.name)

    def _wait(self) -> None:
        self._url = self._container.url()
        wait_until_ready(
            self.backend, self._url, where=self._container.source, within=WITHIN, container=self._container
        )

    def _docker(self) -> DockerContainer:
        container: DockerContainer = self._client.containers.get(self._container.id)
        return container


OwnServers = Callable[..., OwnServer]


@contextlib.contextmanager
def lent(request: pytest.FixtureRequest, own: OwnServer) -> Iterator[OwnServer]:
    """Give the server to one check, running and clean.

    Afterwards repair it, and fail the check for leaks.
    """
    item: pytest.Item = request.node
    item.stash[state.BEGAN] = time.time(), own.server
    item.stash.setdefault(RESCUES, []).append(own.kill)
    probe = state.run_of(request.config).install_probe()
    own.mend()
    own.clean()
    probe.start(own.database)
    yield own
    own.mend()
    databases = [own.database, *item.stash.get(state.DATABASES, ())]
    if leaks := probe.leaks(*databases):
        for database in databases:
            probe.repair(database)
        fail_for_leaks(item, leaks)


@pytest.fixture(scope="session")
def own_servers(
    testbed_backend: Backend, testbed_schema: Callable[[str], None] | None, pytestconfig: pytest.Config
) -> Iterator[OwnServers]:
    """Return a function that returns the shared server with these flags and this size.

    All servers end with the backend.

    The size is that of the server's data in bytes; without one there is no limit.
    """
    with contextlib.ExitStack() as servers:

        @cache
        def start(flags: tuple[str, ...], size: int | None = None) -> OwnServer:
            server = OwnServer(pytestconfig, testbed_backend, testbed_schema, flags=flags, size=size)
            servers.callback(server.close)
            return server

        yield start


@pytest.fixture
def own_server(
    request: pytest.FixtureRequest, own_servers: OwnServers, testbed_backend: Backend
) -> Iterator[OwnServer]:
    """Return a server that only this check uses; the next check gets the same one, repaired."""
    with lent(request, own_servers(testbed_backend.of(FLAGS))) as own:
        yield own


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
