"""Build the images of throwaway servers.

An image is built again when its recipe or its base image changes.
"""

from __future__ import annotations

import contextlib
import fcntl
import re
import socket
import time
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from docker.errors import APIError, DockerException, ImageNotFound

from flask_sqlalchemy_testbed.backends.base import Pooler
from flask_sqlalchemy_testbed.options import flag
from flask_sqlalchemy_testbed.servers import recipes
from flask_sqlalchemy_testbed.servers.given import variable
from flask_sqlalchemy_testbed.servers.readiness import LOG_TAIL_LINES, ServerError
from flask_sqlalchemy_testbed.servers.reaper import layers_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import docker
    from docker.models.images import Image
    from requests import Response

    from flask_sqlalchemy_testbed.backends.base import Backend, Recipe

# Seconds for the engine of a busy machine; a machine without an engine refuses at once.
ANSWER_WITHIN = 30
# Seconds without a word from the engine while it pulls or builds.
BUILD_TIMEOUT = 300
PROGRESS_SECONDS = 5.0
BASE_LABEL = "testbed.base"
# The Dockerfiles set it first, so the layers of a build that was cut short have it, too.
LAYER_LABEL = "testbed.backend"
KEPT_UNUSED = timedelta(days=14)
# Podman 4.3 says so with status 500 while it removes the container.
NO_CONTAINER = b"no such container"
# The engine marks what a command wrote to its standard error.
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
# A layer that no image uses may belong to a build that is running.
LONGEST_BUILD = timedelta(hours=1)


def connect(backend: Backend) -> docker.DockerClient:
    """Return a client of the Docker engine; the caller closes it.

    Args:
        backend: The backend that needs the engine, for the message.

    Raises:
        ServerError: No engine answers, or it refuses this user.
    """
    try:
        return engine()
    except ServerError as error:
        message = f"No server for {backend.name}: {error}, or give a server in {variable(backend)}."
        raise ServerError(message) from None


def engine() -> docker.DockerClient:
    """Return a client of the Docker engine; the caller closes it.

    Raises:
        ServerError: As for `connect`; to the message the caller adds the alternative to an engine.
    """
    # testcontainers knows all the places that may configure the engine's address.
    from testcontainers.core.docker_client import DockerClient  # noqa: PLC0415 - takes 0.3 s to import

    address = _address()
    try:
        _connect_once(address)
        client = DockerClient(timeout=ANSWER_WITHIN).client
        client.ping()
    except (DockerException, OSError, ValueError) as error:  # ValueError: a port that is no port.
        raise ServerError(_problem(error, address)) from None
    client.api.timeout = BUILD_TIMEOUT
    client.api.hooks["response"].append(_say_not_found)
    return client


def _say_not_found(response: Response, **_: object) -> None:
    """Give the answer for a container that Podman is removing the status that docker-py expects."""
    if response.status_code == HTTPStatus.INTERNAL_SERVER_ERROR and NO_CONTAINER in response.content:
        response.status_code = HTTPStatus.NOT_FOUND


def bake(
    client: docker.DockerClient, backend: Backend, recipe: Recipe, run: str, notify: Callable[[str], None]
) -> tuple[str, str]:
    """Build the image of a throwaway server if it is missing, and record its use.

    Args:
        client: The engine.
        backend: The backend, for messages.
        recipe: The recipe of the image; the name of its folder is part of the tag.
        run: The name of the run, for the label by which the layers of this build are found.
        notify: Called with a line of text before anything slow, and every few seconds while it lasts.

    Returns:
        The tag of the image, and the name of its base image.

    Raises:
        ServerError: The base image cannot be pulled, or the build fails.
    """
    base_name = recipes.base_image(recipe)
    # Runs that start at the same moment build an image once.
    with locked(recipe):
        base = _base(client, backend, recipe, base_name, notify)
        tag = recipes.tag(recipe, base.id or "")
        try:
            image = client.images.get(tag)
        except ImageNotFound:
            _build(client, backend, recipe, base_name, tag, run, notify)
        else:
            # The engine records when an image was tagged last, also if the tag stays the same.
            image.tag(*tag.split(":"))
    return tag, base_name


@contextlib.contextmanager
def locked(recipe: Recipe) -> Iterator[None]:
    """Let one process at a time build an image."""
    with (recipes.folder(recipe) / "Dockerfile").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def sweep(client: docker.DockerClient) -> None:
    """Remove images without a use for two weeks, and layers of interrupted builds.

    Args:
        client: A client of the engine that has the images.
    """
    now = datetime.now(UTC)
    for image in client.images.list(filters={"label": BASE_LABEL}):
        tagged = image.attrs.get("Metadata", {}).get("LastTagTime") or image.attrs["Created"]
        if now - max(time_of(tagged), time_of(image.attrs["Created"])) > KEPT_UNUSED:
            for tag in image.tags:
                _remove(client, tag)
    for image in client.images.list(filters={"label": LAYER_LABEL, "dangling": True}):
        if now - time_of(image.attrs["Created"]) > LONGEST_BUILD:
            _remove(client, str(image.id))


def _base(
    client: docker.DockerClient, backend: Backend, recipe: Recipe, name: str, notify: Callable[[str], None]
) -> Image:
    try:
        with contextlib.suppress(ImageNotFound):
            return client.images.get(name)
        repository, tag = _repository_and_tag(name)
        notify(f"testbed: pulling {name} ...")
        events = client.api.pull(repository, tag=tag, stream=True, decode=True)
        if not (reason := _follow(events, f"testbed: pulling {name}", notify).error):
            return client.images.get(name)
    except (DockerException, OSError) as error:
        reason = _first_line(error)
        if "invalid reference format" in reason:
            message = (
                f"No server for {backend.name}: {name!r} cannot be the name of an image."
                f" Set {recipe.variable} to a name such as {recipes.default_base_image(recipe)}."
            )
            raise ServerError(message) from None
    build = f"Build it with `{recipe.build}`" if recipes.can_make_engine() else "Pull it yourself"
    if isinstance(recipe, Pooler):
        build = "Make it as docs/pooler.md says"
    message = (
        f"No server for {backend.name}: the image {name} is not here and cannot be pulled"
        f" ({reason}). {build}{_otherwise(backend, recipe)}."
    )
    raise ServerError(message)


def _build(  # noqa: PLR0913, PLR0917 - each is needed
    client: docker.DockerClient,
    backend: Backend,
    recipe: Recipe,
    base: str,
    tag: str,
    run: str,
    notify: Callable[[str], None],
) -> None:
    doing = f"testbed: building the image of {recipe.name} from {base}, once"
    notify(f"{doing} ...")
    try:
        events = client.api.build(
            path=str(recipes.folder(recipe)),
            tag=tag,
            buildargs={recipe.variable: base, "TESTBED_RUN": run},
            labels={BASE_LABEL: base},
            rm=True,
            forcerm=True,
            decode=True,
        )
        followed = _follow(events, doing, notify)
        reason = followed.error
    except (DockerException, OSError) as error:
        reason = _first_line(error)
    else:
        if not reason:
            return
        reason = " | ".join([*followed.output[-LOG_TAIL_LINES:], reason])
    with contextlib.suppress(DockerException, OSError):
        for layer in layers_of(client, run):
            _remove(client, layer)
    message = (
        f"No server for {backend.name}: {recipe.folder} cannot be built on {base}: {reason}."
        f" Name another image in {recipe.variable}{_otherwise(backend, recipe)}."
    )
    raise ServerError(message)


def _otherwise(backend: Backend, recipe: Recipe) -> str:
    """Return how a run can do without the image; a gate has no alternative."""
    if isinstance(recipe, Pooler):
        return f", or leave out {flag('pooler')}"
    is_server = backend.recipe is not None and backend.recipe.folder == recipe.folder
    return f", or give a server in {variable(backend)}" if is_server else ""


class _Request:
    """The progress of a pull or a build, as the engine has reported it."""

    def __init__(self) -> None:
        self.error = ""
        self.output: list[str] = []
        """The lines that the commands of the recipe wrote."""
        self._step = ""
        self._bytes: dict[str, tuple[int, int]] = {}

    def add(self, event: dict[str, Any]) -> None:
        """Take one event."""
        self.error = str(event.get("error", self.error)).strip()
        detail = event.get("progressDetail") or {}
        if "total" in detail and event.get("status") == "Downloading":
            self._bytes[event["id"]] = detail["current"], detail["total"]
        for line in COLOURS.sub("", str(event.get("stream", ""))).splitlines():
            word, _, rest = line.strip().partition(" ")
            if word.lower() == "step":
                self._step, self.output = rest.partition(" ")[0], []
            elif word and not line.strip().startswith(
                ("--->", "Removing intermediate", "Successfully", "-->")
            ):
                self.output.append(line.strip())

    @property
    def progress(self) -> str:
        """How much is done, in words."""
        if self._step:
            return f"step {self._step}"
        done, total = (sum(values[part] for values in self._bytes.values()) / 1e6 for part in (0, 1))
        return f"{done:.0f} of {total:.0f} MB" if total else ""


def _follow(events: Iterator[dict[str, Any]], doing: str, notify: Callable[[str], None]) -> _Request:
    """Read the events of a pull or a build to their end; report every few seconds how far it is."""
    request = _Request()
    began = reported = time.monotonic()
    for event in events:
        request.add(event)
        if (now := time.monotonic()) - reported >= PROGRESS_SECONDS:
            reported = now
            notify(f"{doing} ... {now - began:.0f} s {request.progress}".rstrip())
    return request


def _remove(client: docker.DockerClient, image: str) -> None:
    """Remove an image, unless a container or another image needs it."""
    with contextlib.suppress(APIError):
        client.images.remove(image)


def _address() -> str:
    from testcontainers.core.docker_client import get_docker_host  # noqa: PLC0415 - as above

    return get_docker_host() or "unix:///var/run/docker.sock"


def _connect_once(address: str) -> None:
    """Connect to a Unix socket and close the connection; raise OSError if that fails.

    docker-py leaves its own socket open if it cannot connect.
    """
    if address.startswith("unix://"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(ANSWER_WITHIN)
            probe.connect(f"/{address.removeprefix('unix://').lstrip('/')}")


def _problem(error: Exception, address: str) -> str:
    """Return why no engine can be used, and the beginning of the remedy."""
    causes = list(_causes(error))
    engine = f"the Docker engine at {address}"
    if any(isinstance(cause, PermissionError) for cause in causes):
        return (
            f"permission denied for {engine}."
            " Add your user to the group docker (`sudo usermod -aG docker $USER`) and log in again"
        )
    if any(isinstance(cause, TimeoutError) for cause in causes):
        return f"{engine} did not answer within {ANSWER_WITHIN} s. Try again when it is less busy, restart it"
    install = " (`make engine` installs it)" if recipes.can_make_engine() else ""
    is_absent = any(isinstance(cause, (FileNotFoundError, ConnectionError)) for cause in causes)
    reason = "" if is_absent else f" ({_first_line(error)})"
    return f"no Docker engine answers at {address}{reason}. Start Docker{install}"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and its causes.

    requests and urllib3 pass the causes as arguments.
    """
    yield error
    for cause in (error.__cause__, error.__context__, *error.args):
        if isinstance(cause, BaseException):
            yield from _causes(cause)


def time_of(text: str) -> datetime:
    """Return a time that the engine wrote, to the second; Python does not read its nanoseconds."""
    return datetime.fromisoformat(f"{text[:19]}+00:00")


def _repository_and_tag(name: str) -> tuple[str, str]:
    # A colon before the last slash belongs to the registry's port.
    head, colon, tag = name.rpartition(":")
    return (head, tag) if colon and "/" not in tag else (name, "latest")


def _first_line(error: Exception) -> str:
    # The explanation is the engine's own text, without the address of the request.
    text = getattr(error, "explanation", None) or error
    return str(text).strip().splitlines()[0][:200].rstrip(".")
