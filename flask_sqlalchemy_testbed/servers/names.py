"""Use the names of containers as locks: the engine gives a name once."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from docker.errors import APIError, NotFound

from flask_sqlalchemy_testbed.servers import lingering
from flask_sqlalchemy_testbed.servers.processes import ProcessId
from flask_sqlalchemy_testbed.servers.readiness import POLL_SECONDS
from flask_sqlalchemy_testbed.servers.reaper import LINGER_LABEL, STARTER_LABEL

if TYPE_CHECKING:
    from collections.abc import Sequence

    import docker
    from docker.models.containers import Container as DockerModel
    from testcontainers.core.container import DockerContainer

NAME_TAKEN = 409
# Podman 4.3 answers 500 while another run is creating the container.
IN_USE = "is already in use"
# Seconds for another run to start the container that it has created, or for the engine to remove one.
NAME_TIMEOUT = 10.0


def start_or_find(client: docker.DockerClient, container: DockerContainer, name: str) -> bool:
    """Start a container, or find the running one that has its name.

    Args:
        client: The engine.
        container: The container to start; it becomes the one that was found.
        name: Its name.

    Returns:
        Whether it was started.

    Raises:
        APIError: It cannot be started, or the container with this name does not start or go in time.
    """
    deadline = time.monotonic() + NAME_TIMEOUT
    while True:
        try:
            container.start()
        except APIError as error:
            taken = error.status_code == NAME_TAKEN or IN_USE in str(error)
            if not taken or time.monotonic() >= deadline:
                raise
        else:
            return True
        with contextlib.suppress(NotFound):
            found = client.containers.get(name)
            if found.status in {"running", "paused"}:
                container._container = found  # noqa: SLF001 - it cannot adopt one
                return False
            process = ProcessId.parse(found.labels.get(STARTER_LABEL, ""))
            if found.status == "created" and process is not None and process.has_ended():
                found.remove(force=True, v=True)
        time.sleep(POLL_SECONDS)


def retire(container: DockerModel) -> None:
    """Free the name of a lingering server, and have it end after its last client.

    A frozen server is removed at once.

    Args:
        container: Its container.
    """
    with contextlib.suppress(APIError):  # Another run may have done the same.
        container.rename(f"{lingering.PREFIX}retired-{container.short_id}")
    with contextlib.suppress(APIError):  # It may be ending just now.
        container.reload()
        if container.status == "running":
            container.kill("SIGUSR1")
        else:
            container.remove(force=True, v=True)


def servers(client: docker.DockerClient) -> list[DockerModel]:
    """Return the containers of this user's lingering servers, also those in use.

    Args:
        client: The engine.
    """
    return client.containers.list(all=True, filters={"name": f"^/?{lingering.PREFIX}"}, ignore_removed=True)


def description(container: DockerModel) -> str:
    """Return a line about a lingering server: its name, its age and its end.

    Args:
        container: Its container.
    """
    seconds = int(container.labels[LINGER_LABEL])
    end = "never ends" if seconds == lingering.FOREVER else f"ends {seconds} s after its last client"
    return f"{container.name}: started {container.attrs['Created'][:16]} UTC, {end}."


def remove(containers: Sequence[DockerModel]) -> None:
    """Remove containers, whatever uses them.

    Args:
        containers: The result of `servers`.
    """
    for container in containers:
        with contextlib.suppress(APIError):  # It may be ending just now.
            container.remove(force=True, v=True)
