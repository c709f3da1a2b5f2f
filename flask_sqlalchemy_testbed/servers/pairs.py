"""Start a primary and a standby behind one address, and let the primary fail."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from docker.errors import APIError, DockerException

from flask_sqlalchemy_testbed.backends.connection import Connection
from flask_sqlalchemy_testbed.backends.replication import FIRST, REPLICATION, SECOND
from flask_sqlalchemy_testbed.servers.containers import Container
from flask_sqlalchemy_testbed.servers.processes import ProcessId
from flask_sqlalchemy_testbed.servers.readiness import POLL_SECONDS, ServerError, wait_until_ready
from flask_sqlalchemy_testbed.servers.reaper import PROCESS_LABEL, RUN_LABEL

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import docker
    from docker.models.networks import Network
    from sqlalchemy.engine import URL

    from flask_sqlalchemy_testbed.backends.base import Backend, Recipe

WITHIN = 30.0
"""Seconds for each change of a role."""


class Node:
    """One server of a pair."""

    def __init__(self, client: docker.DockerClient, backend: Backend, container: Container) -> None:
        self.url: URL = container.url()
        """The server's own address, past the gate."""
        self.container = container
        self._backend = backend
        self._superuser = REPLICATION[backend.name].superuser
        self._docker = client.containers.get(container.id)
        self._connection = Connection(self.url, options=backend.connect_options)

    def wait(self) -> None:
        """Wait until a log-in succeeds.

        Raises:
            ServerError: The server has ended or was not ready in time.
        """
        where = self.container.source
        wait_until_ready(self._backend, self.url, where=where, within=WITHIN, container=self.container)

    def value(self, statement: str) -> Any:
        """Return the first value of a query, which the user of the app executes."""
        return self._connection.rows(statement)[0][0]

    def execute(self, *statements: str) -> None:
        """Execute the statements as the user of the app."""
        self._connection.run(statements)

    def session(self) -> str:
        """Return the server's id of the connection of `value`, which is another after a reconnection."""
        return str(self.value(REPLICATION[self._backend.name].session))

    def administer(self, *statements: str) -> str:
        """Execute the statements as the superuser, and return the output of the last one.

        Raises:
            ServerError: A statement failed.
        """
        output = ""
        for statement in statements:
            result = self._docker.exec_run([*self._superuser, statement])
            output = cast("bytes", result.output).decode(errors="replace").strip()
            if result.exit_code:
                message = f"{self._backend.name}: {statement.strip()!r} failed: {output}"
                raise ServerError(message)
        return output

    def kill(self) -> None:
        """Kill the server, as a power cut would; its data is lost."""
        self._docker.kill()

    def disconnect(self) -> None:
        """Close the connection of `value`."""
        self._connection.close()


class Pair:
    """A primary and a standby that replicates it, with HAProxy before them; its user calls `close`.

    The containers have a network of their own: no other server gets the address of one that was killed.
    """

    def __init__(  # noqa: PLR0913 - all but the first two have names
        self,
        client: docker.DockerClient,
        backend: Backend,
        *,
        run: str,
        notify: Callable[[str], None],
        synchronous: bool = True,
        gate: bool = True,
    ) -> None:
        """Start the servers, and wait until the standby has everything that the primary has.

        Args:
            client: The engine; the caller closes it.
            backend: The kind of server; it has an entry in `REPLICATION`.
            run: The name of the run, for the labels by which the reaper finds the containers and the network.
            notify: Called with a line of text before anything slow.
            synchronous: Whether the primary acknowledges only commits that the standby has stored.
            gate: Whether HAProxy is started, too.

        Raises:
            ServerError: An image cannot be built, or a server does not get ready.
        """
        self.backend = backend
        self._replication = REPLICATION[backend.name]
        self._name = f"testbed_{secrets.token_hex(6)}"
        self._labels = {RUN_LABEL: run, PROCESS_LABEL: str(ProcessId.of(os.getpid()))}
        self._network: Network | None = None
        self._containers: list[Container] = []

        def start(recipe: Recipe, alias: str, flags: Sequence[str] = ()) -> Container:
            container = Container.start(
                client,
                backend,
                run=run,
                notify=notify,
                flags=flags,
                recipe=recipe,
                network=self._name,
                alias=alias,
            )
            self._containers.append(container)
            return container

        servers, flags = backend.recipe, self._replication.synchronous if synchronous else ()
        if servers is None:
            message = f"{backend.name} does not run in a container."
            raise ServerError(message)
        try:
            self._network = _network(client, self._name, self._labels)
            with ThreadPoolExecutor(3) as threads:
                starting = [
                    threads.submit(start, replace(servers, command=self._replication.primary), FIRST, flags),
                    threads.submit(start, replace(servers, command=self._replication.standby), SECOND),
                    *([threads.submit(start, self._replication.gate, "gate")] if gate else []),
                ]
            first, second, *self._gates = [future.result() for future in starting]
            self.primary = Node(client, backend, first)
            self.standby = Node(client, backend, second)
            for node in (self.primary, self.standby):
                node.wait()
            self.wait_for_standby()
            for each in self._gates:
                wait_until_ready(backend, each.url(), where=each.source, within=WITHIN, container=each)
        except BaseException:
            self.close()
            raise

    @property
    def url(self) -> URL:
        """Return the address of the gate, which leads to the server that takes writes."""
        (gate,) = self._gates
        return gate.url()

    @property
    def hosts(self) -> tuple[URL, URL]:
        """Return the servers' own addresses, for a driver that takes several hosts."""
        return self.primary.url, self.standby.url

    def wait_for_standby(self, *, applied: bool = False) -> None:
        """Wait until the standby has stored everything that the primary has written.

        Args:
            applied: Whether the queries of the standby have to return it, too.

        Raises:
            ServerError: The standby did not receive it in time.
        """
        position = str(self.primary.value(self._replication.position))
        query = self._replication.applied if applied else self._replication.received
        self._wait_until(
            lambda: self.standby.value(query.replace("{position}", position)), "the standby receives nothing"
        )

    def promote(self) -> None:
        """Make the standby take writes."""
        self.standby.administer(*self._replication.promote)
        self._wait_until(
            lambda: self.standby.value(self._replication.takes_writes), "the standby takes no writes"
        )

    def demote(self) -> None:
        """Make the primary refuse writes and keep its connections, and let the standby catch up.

        A standby that is promoted earlier loses the transactions that the primary still commits.
        """
        self.primary.administer(*self._replication.demote)
        self._wait_until(
            lambda: (
                not self.primary.value(self._replication.takes_writes)
                and self.primary.administer(self._replication.writers) == "0"
            ),
            "the demoted primary still writes",
        )
        self.wait_for_standby()

    def stop_applying(self) -> None:
        """Let the standby store what the primary sends, and return older rows."""
        self.standby.administer(*self._replication.stop_applying)

    def resume_applying(self) -> None:
        """Undo `stop_applying`."""
        self.standby.administer(*self._replication.resume_applying)

    def stop_receiving(self) -> None:
        """Disconnect the standby from the primary."""
        self.standby.administer(*self._replication.stop_receiving)

    def close(self) -> None:
        """Remove the containers and their network. Further calls do nothing."""
        for node in (getattr(self, "primary", None), getattr(self, "standby", None)):
            if node is not None:
                node.disconnect()
        containers, self._containers = self._containers, []
        with ThreadPoolExecutor(3) as threads:
            list(threads.map(Container.remove, containers))
        network, self._network = self._network, None
        if network is not None:
            with contextlib.suppress(APIError):  # The reaper removes it.
                network.remove()

    def _wait_until(self, condition: Callable[[], object], problem: str) -> None:
        deadline = time.monotonic() + WITHIN
        while not condition():
            if time.monotonic() >= deadline:
                message = f"{self.backend.name}: {problem} within {WITHIN:g} s."
                raise ServerError(message)
            time.sleep(POLL_SECONDS)


def _network(client: docker.DockerClient, name: str, labels: dict[str, str]) -> Network:
    try:
        return client.networks.create(name, labels=labels)
    except (DockerException, OSError) as error:
        reason = getattr(error, "explanation", None) or error
        message = f"The network of a pair of servers cannot be created: {reason}"
        raise ServerError(message) from None
