"""Build the images of throwaway servers.

An image is built again when its recipe or its base image changes.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from docker.errors import APIError, DockerException, ImageNotFound

from flask_sqlalchemy_testbed.servers import recipes
from flask_sqlalchemy_testbed.servers.given import variable
from flask_sqlalchemy_testbed.servers.readiness import ServerError

if TYPE_CHECKING:
    from collections.abc import Callable

    import docker
    from docker.models.images import Image

    from flask_sqlalchemy_testbed.backends.base import Backend, Recipe

CONNECT_TIMEOUT = 2
BUILD_TIMEOUT = 300
BASE_LABEL = "testbed.base"


def connect(backend: Backend) -> docker.DockerClient:
    """Return a client of the Docker engine; the caller closes it.

    Args:
        backend: The backend that needs the engine, for the message.

    Raises:
        ServerError: No engine answers.
    """
    # testcontainers knows all the places that may configure the engine's address.
    from testcontainers.core.docker_client import DockerClient  # noqa: PLC0415 - takes 0.3 s to import

    try:
        client = DockerClient(timeout=CONNECT_TIMEOUT).client
        client.ping()
    except (DockerException, OSError) as error:
        install = " (`make engine` installs it)" if recipes.in_source_tree() else ""
        message = (
            f"No server for {backend.name}: no Docker engine answers ({_first_line(error)})."
            f" Start Docker{install}, or give a server in {variable(backend)}."
        )
        raise ServerError(message) from None
    client.api.timeout = BUILD_TIMEOUT
    return client


def bake(
    client: docker.DockerClient, backend: Backend, recipe: Recipe, notify: Callable[[str], None]
) -> tuple[str, str]:
    """Build the image of a throwaway server unless it is there.

    Args:
        client: The engine.
        backend: The backend; its name is part of the tag.
        recipe: The recipe of the image.
        notify: Called with a line of text before anything slow.

    Returns:
        The tag of the image, and the name of its base image.

    Raises:
        ServerError: The base image cannot be pulled, or the build fails.
    """
    base_name = recipes.base_image(recipe)
    base = _base(client, backend, base_name, notify)
    tag = f"testbed-{backend.name}:{recipes.digest(recipe, base.id or '')}"
    try:
        client.images.get(tag)
    except ImageNotFound:
        notify(f"testbed: building the image of {backend.name} from {base_name}, once ...")
        _build(client, backend, recipe, base_name, tag)
        _remove_superseded(client, base_name, tag)
    return tag, base_name


def _base(client: docker.DockerClient, backend: Backend, name: str, notify: Callable[[str], None]) -> Image:
    try:
        return client.images.get(name)
    except ImageNotFound:
        notify(f"testbed: pulling {name} ...")
    try:
        return client.images.pull(*_repository_and_tag(name))
    except (APIError, OSError) as error:
        build = "Build it with `make engine`" if recipes.in_source_tree() else "Pull it yourself"
        message = (
            f"No server for {backend.name}: the image {name} is not here and cannot be pulled"
            f" ({_first_line(error)}). {build}, or give a server in {variable(backend)}."
        )
        raise ServerError(message) from None


def _build(client: docker.DockerClient, backend: Backend, recipe: Recipe, base: str, tag: str) -> None:
    output = ""
    for event in client.api.build(
        path=str(recipes.folder(recipe)),
        tag=tag,
        buildargs={recipe.variable: base},
        labels={BASE_LABEL: base},
        rm=True,
        forcerm=True,
        decode=True,
    ):
        if "error" in event:
            message = (
                f"{backend.name}: {recipe.folder} cannot be built on {base}:"
                f" {event['error'].strip()} {output}"
            )
            raise ServerError(message)
        output = str(event.get("stream", "")).strip() or output


def _remove_superseded(client: docker.DockerClient, base: str, tag: str) -> None:
    """Remove the images that were built on this base before, except those that a container uses."""
    for image in client.images.list(filters={"label": f"{BASE_LABEL}={base}"}):
        for old in {*image.tags} - {tag}:
            with contextlib.suppress(APIError):
                client.images.remove(old)


def _repository_and_tag(name: str) -> tuple[str, str]:
    # A colon before the last slash belongs to the registry's port.
    head, colon, tag = name.rpartition(":")
    return (head, tag) if colon and "/" not in tag else (name, "latest")


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200]
