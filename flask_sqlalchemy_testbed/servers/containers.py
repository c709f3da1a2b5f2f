"""Throwaway servers in containers: their data is in memory, their labels name their run."""

from __future__ import annotations

import contextlib
import os
import threading
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

from docker.errors import APIError, DockerException, NotFound
from docker.types import Mount
from testcontainers.core.config import ConnectionMode, testcontainers_config
from testcontainers.core.container import DockerContainer

from flask_sqlalchemy_testbed.servers import images, inspection, lingering, names, recipes
from flask_sqlalchemy_testbed.servers.given import variable
from flask_sqlalchemy_testbed.servers.processes import ProcessId
from flask_sqlalchemy_testbed.servers.readiness import ServerError
from flask_sqlalchemy_testbed.servers.reaper import (
    BACKEND_LABEL,
    LINGER_LABEL,
    PROCESS_LABEL,
    RUN_LABEL,
    STARTER_LABEL,
    lingers,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import docker
    from docker.models.containers import Container as DockerModel
    from sqlalchemy.engine import URL
    from testcontainers.core.docker_client import DockerClient

    from flask_sqlalchemy_testbed.backends.base import Backend, Recipe

# Docker can change the name of a container, but not its labels.
KEPT_PREFIX = "testbed-kept-"
LOOPBACK = frozenset({"localhost", "127.0.0.1"})


class Container:
    """The container of a server; its user calls `remove`."""

    def __init__(  # noqa: PLR0913 - the last two have names
        self,
        backend: Backend,
        recipe: Recipe,
        container: DockerContainer,
        source: str,
        *,
        lingers: bool = False,
        is_new: bool = True,
    ) -> None:
        self.source = source
        self.lingers = lingers
        """Whether the container outlives the run: other runs use it too."""
        self.is_new = is_new
        """Whether this run has started it."""
        self._backend = backend
        self._recipe = recipe
        self._container = container

    @classmethod
    def start(  # noqa: PLR0913 - all but the first two have names
        cls,
        client: docker.DockerClient,
        backend: Backend,
        *,
        run: str,
        notify: Callable[[str], None],
        flags: Sequence[str] = (),
        size: int | None = None,
        port: int | None = None,
        linger: int = 0,
        recipe: Recipe | None = None,
        network: str | None = None,
        alias: str = "",
    ) -> Container:
        """Start a container without waiting for its server; first build a missing image.

        Args:
            client: The engine.
            backend: The kind of server.
            run: The name of the run, for the label by which the reaper finds the container.
            notify: Called with a line of text before anything slow.
            flags: More arguments for the server.
            size: The limit of the data in bytes.
            port: The port of this machine; it is the same after the container was stopped and started.
            linger: The seconds for which the server waits for a client after this run; with 0 the run removes
                it. If a server of the same kind lingers already, its container is returned.
            recipe: The recipe of the container; None means the backend's.
            network: The network of the container; None means the engine's own.
            alias: The name of the container in `network`.

        Returns:
            The container; its server may not be ready yet.

        Raises:
            ServerError: The image cannot be built, the container does not start, or there is no recipe.
        """
        recipe = recipe or backend.recipe
        if recipe is None:
            message = (
                f"No server for {backend.name}: name one in {variable(backend)}. There is no image of it."
            )
            raise ServerError(message)
        tag, base = images.bake(client, backend, recipe, run, notify)
        with _start_errors(backend):
            process = STARTER_LABEL if linger else PROCESS_LABEL
            options: dict[str, Any] = {
                "labels": {
                    RUN_LABEL: run,
                    BACKEND_LABEL: recipe.name,
                    process: str(ProcessId.of(os.getpid())),
                }
            }
            container = DockerContainer(tag).with_command([*recipe.command, *flags])
            if linger:
                name = lingering.name_of(recipe, tag, flags, linger)
                container.with_name(name)
                of_image = client.images.get(tag).attrs["Config"]["Entrypoint"]
                options["labels"][LINGER_LABEL] = str(linger)
                options["entrypoint"] = lingering.entrypoint(linger, recipe.port, of_image)
                options["auto_remove"] = True
            _expose(container, recipe.port, port, network or "bridge")
            if network is not None:
                endpoint = client.api.create_endpoint_config(aliases=[alias])
                options |= {"network": network, "networking_config": {network: endpoint}}
            options["mounts"] = [
                Mount(path, source="", type="tmpfs", tmpfs_size=size, tmpfs_mode=0o1777)
                for path in recipe.memory
            ]
            container.with_kwargs(**options)
            is_new = True
            with _without_ryuk:
                if linger:
                    is_new = names.start_or_find(client, container, name)
                else:
                    container.start()
            kind = "lingering" if linger else "throwaway"
            source = f"{base}, {kind} container {container.get_wrapped_container().short_id}"
            return cls(backend, recipe, container, source, lingers=bool(linger), is_new=is_new)

    @property
    def address(self) -> tuple[str, int]:
        """Return the address on the engine's own network, without a published port."""
        return self._in_network("IPAddress"), self._recipe.port

    def _in_network(self, key: str) -> str:
        """Return an address from the inspection of the container: its own, or that of its gateway.

        Raises:
            ServerError: The engine gives its containers none, as Podman does for a user who is not root.
        """
        wrapped = self._container.get_wrapped_container()
        wrapped.reload()
        networks = wrapped.attrs["NetworkSettings"].get("Networks") or {}
        if found := next((network[key] for network in networks.values() if network.get(key)), None):
            return str(found)
        message = (
            f"{self._backend.name}: the engine names no {key} of its container. Use another engine, set"
            f" TESTCONTAINERS_CONNECTION_MODE=docker_host, or give a server in {variable(self._backend)}."
        )
        raise ServerError(message)

    @property
    def capabilities(self) -> frozenset[str]:
        """Return the capabilities that a started container adds to the backend's."""
        try:
            address = self.address
        except ServerError:
            return frozenset({"container", "throwaway"})
        return inspection.capabilities_at(address)

    @property
    def age(self) -> float:
        """Return the seconds since it was created."""
        created = images.time_of(self._container.get_wrapped_container().attrs["Created"])
        return (datetime.now(UTC) - created).total_seconds()

    @property
    def id(self) -> str:
        """Return Docker's id of the container."""
        return str(self._container.get_wrapped_container().id)

    def url(self) -> URL:
        """Return the URL by which this process reaches the database that the image contains.

        Raises:
            ConnectionError: The container has stopped, so it has no port.
            ServerError: The engine does not tell the address of the container.
        """
        client = self._container.get_docker_client()
        mode, host, port = client.get_connection_mode(), client.host(), self._recipe.port
        # Not testcontainers' own lookup: Podman's lists of containers lack what it reads in them.
        if mode == ConnectionMode.bridge_ip:
            host, port = self.address
        else:
            port = int(client.port(self.id, port))
            if mode == ConnectionMode.gateway_ip:
                host = self._in_network("Gateway")
        return recipes.url(self._backend, host.replace("localhost", "127.0.0.1"), port)

    @property
    def host_and_port(self) -> tuple[str, str]:
        """Return `address` as two words of a command."""
        host, port = self.address
        return host, str(port)

    def execute(self, *command: str) -> None:
        """Execute a command in the container.

        Args:
            command: Its words.

        Raises:
            RuntimeError: The command failed.
        """
        result = self._container.get_wrapped_container().exec_run(list(command))
        if result.exit_code:
            message = f"{command!r} failed: {result.output!r}"
            raise RuntimeError(message)

    def has_ended(self) -> bool:
        """Return whether the server has stopped running."""
        return _has_ended(self._container.get_wrapped_container())

    def log(self, since: float) -> str:
        """Return the server's log since this `time.time()`, or why it cannot be read."""
        return _log(self._container.get_wrapped_container(), since)

    def keep(self, database: str) -> list[str]:
        """Leave the container after the run, under a name that says so.

        Returns:
            Lines of text: how to inspect the database, read the log and remove the container.
        """
        return _keep(self._backend, self._container.get_wrapped_container(), database)

    def remove(self) -> None:
        """Kill and remove the container: none of its data is needed.

        A lingering server is left to its other runs and ends after them; no more run joins it.
        """
        if self.lingers:
            names.retire(self._container.get_wrapped_container())
        else:
            with contextlib.suppress(NotFound):
                self._container.stop()


@contextlib.contextmanager
def _start_errors(backend: Backend) -> Iterator[None]:
    try:
        yield
    except (DockerException, OSError, LookupError, TypeError) as error:
        # Also an engine whose answers lack what Docker's have: a KeyError names it.
        reason = getattr(error, "explanation", None) or (
            error if isinstance(error, (DockerException, OSError)) else repr(error)
        )
        message = f"{backend.name}: the container does not start: {reason}"
        raise ServerError(message) from None


def has_ended(backend: Backend, container: str) -> bool:
    """Return whether the server in a container has stopped running.

    Args:
        backend: The kind of server.
        container: Docker's id of the container.
    """
    try:
        client = images.connect(backend)
    except ServerError:
        return True
    with contextlib.closing(client):
        try:
            return _has_ended(client.containers.get(container))
        except NotFound:
            return True


def _has_ended(container: DockerModel) -> bool:
    try:
        container.reload()
    except (NotFound, OSError):  # It was removed, or its engine has ended too.
        return True
    return container.status not in {"created", "running", "restarting", "paused"}


def keep(backend: Backend, container: str, database: str) -> list[str]:
    """Leave the container of a server after the run, as `Container.keep` does.

    Args:
        backend: The kind of server.
        container: Docker's id of the container.
        database: The name of the database.
    """
    client = images.connect(backend)
    with contextlib.closing(client):
        return _keep(backend, client.containers.get(container), database)


def _keep(backend: Backend, container: DockerModel, database: str) -> list[str]:
    name = f"{KEPT_PREFIX}{backend.name}-{str(container.id)[:12]}"
    if lingers(container):  # No later run uses it, and it ends no more by itself.
        container.kill("SIGUSR2")
    container.rename(name)
    client = backend.recipe.client if backend.recipe is not None else ""
    look = client.replace("{container}", name).replace("{database}", database)
    return [f"look:   {look}", f"log:    docker logs {name}", f"remove: docker rm -fv {name}"]


def retire(backend: Backend, container: str) -> None:
    """Have a lingering server end after its runs, as `Container.remove` does.

    Args:
        backend: The kind of server.
        container: Docker's id of the container.
    """
    client = images.connect(backend)
    with contextlib.closing(client), contextlib.suppress(NotFound):
        names.retire(client.containers.get(container))


def log_of(backend: Backend, container: str, since: float) -> str:
    """Return the log of the server in a container, or why it cannot be read.

    Args:
        backend: The kind of server.
        container: Docker's id of the container.
        since: The `time.time()` from which on the log is returned.
    """
    client = images.connect(backend)
    try:
        return _log(client.containers.get(container), since)
    except (APIError, OSError) as error:
        return _no_log(error)
    finally:
        client.close()


def _log(container: DockerModel, since: float) -> str:
    try:
        output: bytes = container.logs(since=since or None)
    except (APIError, OSError) as error:
        return _no_log(error)
    return output.decode(errors="replace")


def _no_log(error: Exception) -> str:
    return f"(the log cannot be read: {getattr(error, 'explanation', None) or error})"


class _WithoutRyuk:
    """A context in which testcontainers does not start its reaper, whose image may not be there.

    Several threads may be in it at once; the last one restores the setting.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before = False

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._before = testcontainers_config.ryuk_disabled
                testcontainers_config.ryuk_disabled = True
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                testcontainers_config.ryuk_disabled = self._before


_without_ryuk = _WithoutRyuk()


def sweep(client: docker.DockerClient) -> None:
    """Remove the containers and networks of runs that were killed together with their reaper.

    Args:
        client: The engine.
    """
    for container in client.containers.list(all=True, filters={"label": PROCESS_LABEL}, ignore_removed=True):
        process = ProcessId.parse(container.labels[PROCESS_LABEL])
        if process is None or str(container.name).startswith(KEPT_PREFIX):
            continue
        # A process of another machine cannot be seen, but it does not use a container that has ended.
        stale = process.has_ended() if process.is_local() else container.status in {"exited", "dead"}
        if stale:
            with contextlib.suppress(APIError):
                container.remove(force=True, v=True)
    for network in client.networks.list(filters={"label": PROCESS_LABEL}):
        process = ProcessId.parse(network.attrs["Labels"][PROCESS_LABEL])
        if process is not None and process.has_ended():
            with contextlib.suppress(APIError):
                network.remove()


def _expose(container: DockerContainer, port: int, outside: int | None, network: str) -> None:
    container.with_bind_ports(port, outside)
    if address := host_to_publish_on(container.get_docker_client(), network):
        container.ports[str(port)] = (address, outside)  # type: ignore[assignment]


def host_to_publish_on(client: DockerClient, network: str) -> str | None:
    """Return the only address to publish the port on, because the password is no secret.

    None if the engine runs on another machine, which can be reached only through its network.
    """
    mode = client.get_connection_mode()
    # In the first mode this process is in a container, and needs no published port.
    if mode == ConnectionMode.bridge_ip or (mode == ConnectionMode.docker_host and client.host() in LOOPBACK):
        return "127.0.0.1"
    if mode == ConnectionMode.gateway_ip:
        config = client.client.networks.get(network).attrs["IPAM"]["Config"] or []
        # Of the bridge that it has just made, Docker names no gateway: it is the first address.
        gateways = (pool.get("Gateway") or ip_network(pool["Subnet"])[1] for pool in config)
        return next((str(gateway) for gateway in gateways), None)
    return None
