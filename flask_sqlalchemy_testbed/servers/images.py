"""Bakes the image of a throwaway server, once: again only when its recipe or the image under it changes."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from docker.errors import APIError, DockerException, ImageNotFound

import docker
from flask_sqlalchemy_testbed.servers import recipes
from flask_sqlalchemy_testbed.servers.given import variable
from flask_sqlalchemy_testbed.servers.readiness import ServerError

if TYPE_CHECKING:
    from collections.abc import Callable

    from docker.models.images import Image

    import docker
    from flask_sqlalchemy_testbed.backends.base import Backend, Recipe

# Docker answers a question at once or is not there.
ANSWER_WITHIN = 2
WORK_WITHIN = 300
BASE_LABEL = "testbed.base"


def connect(backend: Backend) -> docker.DockerClient:
    """A client of an engine that answers; `ServerError` names the ways to a server when there is none."""
    # Only testcontainers knows every place where the engine may be said to be.
    from testcontainers.core.docker_client import DockerClient  # noqa: PLC0415

    try:
        client = DockerClient(timeout=ANSWER_WITHIN).client
        client.ping()
    except (DockerException, OSError) as error:
        message = (
            f"No server for {backend.name}: no Docker engine answers ({_first_line(error)})."
            f" Start Docker (`make engine` sets it up here), or name a server in {variable(backend)}."
        )
        raise ServerError(message) from None
    client.api.timeout = WORK_WITHIN
    return client


def bake(
    client: docker.DockerClient, backend: Backend, recipe: Recipe, tell: Callable[[str], None]
) -> tuple[str, str]:
    """The tag of the image to start, and the name of the one it was built on."""
    base_name = recipes.base_image(recipe)
    base = _base(client, backend, base_name, tell)
    tag = f"testbed-{backend.name}:{recipes.digest(recipe, base.id or '')}"
    try:
        client.images.get(tag)
    except ImageNotFound:
        tell(f"testbed: baking {backend.name} from {base_name}, once ...")
        _build(client, backend, recipe, base_name, tag)
        _remove_superseded(client, base_name, tag)
    return tag, base_name


def _base(client: docker.DockerClient, backend: Backend, name: str, tell: Callable[[str], None]) -> Image:
    try:
        return client.images.get(name)
    except ImageNotFound:
        tell(f"testbed: pulling {name} ...")
    try:
        return client.images.pull(*_repository_and_tag(name))
    except (APIError, OSError) as error:
        message = (
            f"No server for {backend.name}: the image {name} is not here and cannot be pulled"
            f" ({_first_line(error)}). Build it with `make engine`, or name a server in {variable(backend)}."
        )
        raise ServerError(message) from None


def _build(client: docker.DockerClient, backend: Backend, recipe: Recipe, base: str, tag: str) -> None:
    said = ""
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
                f"{backend.name}: {recipe.folder} cannot be built on {base}: {event['error'].strip()} {said}"
            )
            raise ServerError(message)
        said = str(event.get("stream", "")).strip() or said


def _remove_superseded(client: docker.DockerClient, base: str, tag: str) -> None:
    """Removes what was baked from that base before, unless a container is still made of it."""
    for image in client.images.list(filters={"label": f"{BASE_LABEL}={base}"}):
        for old in {*image.tags} - {tag}:
            with contextlib.suppress(APIError):
                client.images.remove(old)


def _repository_and_tag(name: str) -> tuple[str, str]:
    # A colon before the last slash is that of a registry's port.
    head, colon, tag = name.rpartition(":")
    return (head, tag) if colon and "/" not in tag else (name, "latest")


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200]
