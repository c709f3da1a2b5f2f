"""A throwaway server: its data in memory, known by its labels, gone with its run."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import threading
from typing import TYPE_CHECKING

from docker.errors import APIError, NotFound
from docker.types import Mount
from testcontainers.core.config import ConnectionMode, testcontainers_config
from testcontainers.core.container import DockerContainer

import docker
from flask_sqlalchemy_testbed.servers import images
from flask_sqlalchemy_testbed.servers.processes import Owner
from flask_sqlalchemy_testbed.servers.readiness import ServerError
from flask_sqlalchemy_testbed.servers.reaper import BACKEND_LABEL, RUN_LABEL

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from docker.models.containers import Container as DockerModel
    from sqlalchemy.engine import URL
    from testcontainers.core.docker_client import DockerClient

    import docker
    from flask_sqlalchemy_testbed.backends.base import Backend, Recipe

OWNER_LABEL = "testbed.owner"
STAYS_LABEL = "testbed.stays"
REMOVE = "python -m flask_sqlalchemy_testbed.servers remove"
# Docker cannot change a label, but it can change a name.
KEPT_PREFIX = "testbed-kept-"
LOOPBACK = frozenset({"localhost", "127.0.0.1"})


class Container:
    """A running container of this run; `remove` it."""

    def __init__(
        self, backend: Backend, recipe: Recipe, container: DockerContainer, source: str, *, stays: bool
    ) -> None:
        self.source = source
        self.stays = stays
        self._backend = backend
        self._recipe = recipe
        self._container = container

    @classmethod
    def start(  # noqa: PLR0913  (what differs from one container to the next)
        cls,
        client: docker.DockerClient,
        backend: Backend,
        *,
        run: str,
        tell: Callable[[str], None],
        flags: Sequence[str] = (),
        size: int | None = None,
        port: int | None = None,
        stays: bool = False,
    ) -> Container:
        """Starts one, without waiting for the server in it; its image is baked first if need be.

        One that `stays` is no run's: it is found again by what it is, and the one that is there is used.

        A test may want more `flags` for its server, a bound on the `size` of its data in bytes, and a `port`
        of this machine that stays the same when the container is started again.
        """
        recipe = backend.recipe
        if recipe is None:
            message = f"{backend.name} runs in no container"
            raise ValueError(message)
        tag, base = images.bake(client, backend, recipe, tell)
        labels = {RUN_LABEL: run, BACKEND_LABEL: backend.name, OWNER_LABEL: str(Owner.of(os.getpid()))}
        if stays:
            kind = _kind(client, tag, recipe, (*flags, size, port))
            if found := _kept(client, kind):
                return cls(backend, recipe, _attached(found), _kept_source(base, found.short_id), stays=True)
            labels = {STAYS_LABEL: kind, BACKEND_LABEL: backend.name}
        container = DockerContainer(tag).with_command([*recipe.command, *flags])
        _expose(container, recipe.port, port)
        container.with_kwargs(
            labels=labels,
            mounts=[
                Mount(path, source="", type="tmpfs", tmpfs_size=size, tmpfs_mode=0o1777)
                for path in recipe.memory
            ],
        )
        try:
            with _without_ryuk:
                container.start()
        except APIError as error:
            message = f"{backend.name}: the container does not start: {error.explanation or error}"
            raise ServerError(message) from None
        short = container.get_wrapped_container().short_id
        source = _kept_source(base, short) if stays else f"{base}, throwaway container {short}"
        return cls(backend, recipe, container, source, stays=stays)

    @property
    def address(self) -> tuple[str, int]:
        """Where it is on the engine's network, past the engine's proxies."""
        wrapped = self._container.get_wrapped_container()
        wrapped.reload()
        network, *_ = wrapped.attrs["NetworkSettings"]["Networks"].values()
        return str(network["IPAddress"]), self._recipe.port

    @property
    def capabilities(self) -> frozenset[str]:
        """What it adds to those of its backend, once it has started."""
        try:
            # An engine that is elsewhere, or in a machine of its own, hides its containers' network.
            socket.create_connection(self.address, timeout=0.5).close()
        except OSError:
            return frozenset({"container", "throwaway"})
        return frozenset({"container", "throwaway", "routed"})

    @property
    def id(self) -> str:
        """What Docker calls it."""
        return str(self._container.get_wrapped_container().id)

    def url(self, drivername: str, username: str, password: str, database: str) -> URL:
        """How this process reaches it."""
        from sqlalchemy.engine import URL  # noqa: PLC0415 - imported by `Run.start`

        client = self._container.get_docker_client()
        port = self._recipe.port
        if client.get_connection_mode() != ConnectionMode.bridge_ip:
            port = int(client.port(self.id, port))
        host = self._container.get_container_host_ip().replace("localhost", "127.0.0.1")
        return URL.create(drivername, username, password, host, port, database)

    def has_ended(self) -> bool:
        """Whether the server in it has stopped running."""
        wrapped = self._container.get_wrapped_container()
        wrapped.reload()
        return wrapped.status not in {"created", "running", "restarting"}

    def log(self, since: float) -> str:
        """What the server wrote since then; all there is, if it is gone."""
        return _log(self._container.get_wrapped_container(), since)

    def keep(self, database: str) -> list[str]:
        """Lets it live on, under a name that says so; answers how to look into it and how to remove it."""
        wrapped = self._container.get_wrapped_container()
        if self.stays:  # It is others' too.
            name, remove = str(wrapped.name), REMOVE
        else:
            name = f"{KEPT_PREFIX}{self._backend.name}-{self.id[:12]}"
            remove = f"docker rm -fv {name}"
            wrapped.rename(name)
        look = self._recipe.client.replace("{container}", name).replace("{database}", database)
        return [f"look:   {look}", f"log:    docker logs {name}", f"remove: {remove}"]

    def remove(self) -> None:
        """Kills it: there is nothing that a clean stop would save."""
        with contextlib.suppress(NotFound):
            self._container.stop()


def remove_kept(client: docker.DockerClient) -> list[str]:
    """Removes the servers that stayed, whoever uses them; answers what they were."""
    found = client.containers.list(all=True, filters={"label": STAYS_LABEL}, ignore_removed=True)
    for container in found:
        with contextlib.suppress(NotFound):
            container.remove(force=True, v=True)
    return [f"{container.labels[BACKEND_LABEL]} {container.short_id}" for container in found]


def _kind(client: docker.DockerClient, tag: str, recipe: Recipe, settings: Sequence[object]) -> str:
    """What makes two servers the same: the image, and all that they are started with."""
    what = (client.images.get(tag).id, recipe.command, tuple(settings), recipe.memory, recipe.port)
    return hashlib.sha256(repr(what).encode()).hexdigest()[:16]


def _kept(client: docker.DockerClient, kind: str) -> DockerModel | None:
    labelled: dict[str, str | list[str] | bool] = {"label": f"{STAYS_LABEL}={kind}"}
    found = client.containers.list(all=True, filters=labelled, ignore_removed=True)
    return min(found, key=lambda container: str(container.attrs["Created"]), default=None)


def _attached(found: DockerModel) -> DockerContainer:
    container = DockerContainer(str(found.image.id) if found.image else "")
    container._container = found  # noqa: SLF001 - testcontainers knows only those that it has started
    return container


def _kept_source(base: str, short: str) -> str:
    return f"{base}, container {short}, which stays"


def log_of(backend: Backend, container: str, since: float) -> str:
    """What the server in the container of that id wrote since then; why it cannot be had, if it is gone."""
    client = images.connect(backend)
    try:
        return _log(client.containers.get(container), since)
    except (APIError, OSError) as error:
        return _cannot_be_had(error)
    finally:
        client.close()


def _log(container: DockerModel, since: float) -> str:
    try:
        output: bytes = container.logs(since=since or None)
    except (APIError, OSError) as error:
        return _cannot_be_had(error)
    return output.decode(errors="replace")


def _cannot_be_had(error: Exception) -> str:
    return f"(cannot be had: {error})"


class _WithoutRyuk:
    """testcontainers' own reaper is an image that may not be had; containers started in here have ours.

    Several threads may be in here at once; what was set before is set again when the last one leaves.
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
    """Removes the containers and networks of runs that were killed along with their reaper."""
    for container in client.containers.list(all=True, filters={"label": OWNER_LABEL}, ignore_removed=True):
        owner = Owner.parse(container.labels[OWNER_LABEL])
        if owner is None or str(container.name).startswith(KEPT_PREFIX):
            continue
        # Whoever counts elsewhere may still be there, but not with a container that has ended.
        stale = not owner.is_alive() if owner.can_be_judged() else container.status in {"exited", "dead"}
        if stale:
            with contextlib.suppress(APIError):
                container.remove(force=True, v=True)
    for network in client.networks.list(filters={"label": OWNER_LABEL}):
        owner = Owner.parse(network.attrs["Labels"][OWNER_LABEL])
        if owner is not None and owner.can_be_judged() and not owner.is_alive():
            with contextlib.suppress(APIError):
                network.remove()


def _expose(container: DockerContainer, port: int, outside: int | None) -> None:
    container.with_bind_ports(port, outside)
    if address := _address(container.get_docker_client()):
        container.ports[str(port)] = (address, outside)  # type: ignore[assignment]


def _address(client: DockerClient) -> str | None:
    """The one address to listen on: the password is no secret, so nobody from elsewhere is let in.

    None where the engine is another machine's, which only its network can be reached by.
    """
    mode = client.get_connection_mode()
    if mode == ConnectionMode.docker_host and client.host() in LOOPBACK:
        return "127.0.0.1"
    if mode == ConnectionMode.gateway_ip:
        config = client.client.networks.get("bridge").attrs["IPAM"]["Config"]
        return next((pool["Gateway"] for pool in config if "Gateway" in pool), None)
    return None
