"""Servers of the checks' own, to be stopped, frozen, cut off and filled: nobody else is on them."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import time
from typing import TYPE_CHECKING

import pytest

from flask_sqlalchemy_testbed.battery import tables
from flask_sqlalchemy_testbed.isolation import Isolation
from flask_sqlalchemy_testbed.plugin import state
from flask_sqlalchemy_testbed.plugin.failures import fail_for_leaks
from flask_sqlalchemy_testbed.plugin.watchdog import RESCUES
from flask_sqlalchemy_testbed.servers import images
from flask_sqlalchemy_testbed.servers.containers import PROCESS_LABEL
from flask_sqlalchemy_testbed.servers.network import NetworkServer
from flask_sqlalchemy_testbed.servers.processes import ProcessId
from flask_sqlalchemy_testbed.servers.readiness import wait_until_ready
from flask_sqlalchemy_testbed.servers.reaper import RUN_LABEL

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from docker.models.containers import Container as DockerContainer
    from docker.models.networks import Network

    from flask_sqlalchemy_testbed.backends.base import Backend
    from flask_sqlalchemy_testbed.databases import Database
    from flask_sqlalchemy_testbed.run import Run

WITHIN = 30.0
# As a server far away may be: in another time zone than its clients, and with few places.
FLAGS = {
    "postgresql": ("-c", "timezone=Asia/Tokyo", "-c", "max_connections=20"),
    "mysql": ("--default-time-zone=+09:00", "--max-connections=20"),
}


class OwnServer:
    """A throwaway server and its database with the battery's tables. Started again, it has forgotten all."""

    def __init__(
        self, run: Run, backend: Backend, *, flags: Sequence[str] = (), size: int | None = None
    ) -> None:
        self.backend = backend
        self.name = f"testbed_{secrets.token_hex(6)}"
        self._run = run
        self._client = images.connect(backend)
        self._network: Network | None = None
        self._container = run.start_container(backend, flags=flags, size=size, port=_free_port())
        self._wait()
        self.server = NetworkServer(
            backend, self._url, source=self._container.source, container=self._container
        )
        self._isolation = self._made_anew()

    @property
    def database(self) -> Database:
        """The one database, as clean as it was last made."""
        return self._isolation.database

    @property
    def direct_uri(self) -> str:
        """A way to it over a network of its own, that can be cut: nobody else gets its address meanwhile."""
        if self._network is None:
            labels = {RUN_LABEL: self._run.name, PROCESS_LABEL: str(ProcessId.of(os.getpid()))}
            self._network = self._client.networks.create(self.name, labels=labels)
            self._network.connect(self.id)
        host = self._docker().attrs["NetworkSettings"]["Networks"][self.name]["IPAddress"]
        _, port = self._container.address
        return self.database.url.set(host=host, port=port).render_as_string(hide_password=False)

    def clean(self) -> None:
        """The tables are there, and empty."""
        self._isolation.clean(tables.create_all)

    def kill(self) -> None:
        """End it as a power cut would."""
        self._docker().kill()

    def stop(self) -> None:
        """End it as its administrator would, who has a second; it has ended then."""
        self._docker().stop(timeout=1)

    def start(self) -> None:
        """Start it again where it was, and wait until it answers: the tables are there, without a row."""
        self._docker().start()
        self._wait()
        self._isolation.database.connection.close()
        self._isolation = self._made_anew()
        self.clean()

    def pause(self) -> None:
        """Freeze it: its sockets stay open, and what is sent is taken in, but it does nothing."""
        self._docker().pause()

    def cut(self) -> None:
        """Cut the way of `direct_uri`: what is sent there is lost, and nobody learns of it."""
        if self._network is not None:
            self._network.disconnect(self.id)

    def mend(self) -> None:
        """Undo what was done to it, if anything was."""
        docker = self._docker()
        if docker.status == "paused":
            docker.unpause()
            docker.reload()
        if self._network is not None and self.name not in docker.attrs["NetworkSettings"]["Networks"]:
            self._network.connect(self.id)
        if docker.status != "running":
            self.start()

    def close(self) -> None:
        """It is no more."""
        self._isolation.database.connection.close()
        self.server.close()
        if self._network is not None:
            self._network.remove()

    @property
    def id(self) -> str:
        """What Docker calls its container."""
        return self._container.id

    def _made_anew(self) -> Isolation:
        self.server.create(self.name)
        return Isolation(self.server, self.name)

    def _wait(self) -> None:
        self._url = self._container.url()
        wait_until_ready(
            self.backend, self._url, where=self._container.source, within=WITHIN, container=self._container
        )

    def _docker(self) -> DockerContainer:
        container: DockerContainer = self._client.containers.get(self.id)
        return container


class OwnServers:
    """Starts them when they are wanted, each kind once."""

    def __init__(self, run: Run, backend: Backend) -> None:
        self._run = run
        self._backend = backend
        self._started: dict[tuple[tuple[str, ...], int | None], OwnServer] = {}

    def get(self, *, flags: tuple[str, ...] | None = None, size: int | None = None) -> OwnServer:
        """One with these flags, by default `FLAGS`, and with so many bytes for its data."""
        flags = FLAGS[self._backend.name] if flags is None else flags
        if (flags, size) not in self._started:
            self._started[flags, size] = OwnServer(self._run, self._backend, flags=flags, size=size)
        return self._started[flags, size]

    def close(self) -> None:
        """They are no more."""
        for server in self._started.values():
            server.close()
        self._started.clear()


@contextlib.contextmanager
def lent(request: pytest.FixtureRequest, own: OwnServer) -> Iterator[OwnServer]:
    """The server for one check: running, clean, watched. Then it is mended, and nothing may be open."""
    item: pytest.Item = request.node
    item.stash[state.BEGAN] = time.time(), own.server
    item.stash.setdefault(RESCUES, []).append(own.kill)
    probe = state.run_of(request.config).install_probe()
    own.mend()
    own.clean()
    probe.start(own.database)
    yield own
    own.mend()
    if leaks := probe.leaks(own.database):
        probe.repair(own.database)
        fail_for_leaks(item, leaks)


@pytest.fixture(scope="session")
def own_servers(testbed_backend: Backend, pytestconfig: pytest.Config) -> Iterator[OwnServers]:
    """Servers of the checks' own on this backend, gone when the last check on it is done."""
    servers = OwnServers(state.run_of(pytestconfig), testbed_backend)
    yield servers
    servers.close()


@pytest.fixture
def own_server(request: pytest.FixtureRequest, own_servers: OwnServers) -> Iterator[OwnServer]:
    """A server that this check may do anything to; checks share it, and the first that wants it starts it."""
    with lent(request, own_servers.get()) as own:
        yield own


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
