"""Find the server that an earlier run has left, without the docker package, whose import takes 0.2 s."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from flask_sqlalchemy_testbed.servers import inspection, recipes
from flask_sqlalchemy_testbed.servers.lingering import name_of

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

    from flask_sqlalchemy_testbed.backends.base import Backend, Recipe


def find(backend: Backend, seconds: int) -> FoundContainer | None:
    """Return the container of a server that lingers from an earlier run, without the docker package.

    Args:
        backend: The kind of server.
        seconds: The time for which it lingers.

    Returns:
        None if there is none, or if only the docker package can find it.
    """
    recipe = backend.recipe
    if recipe is None or not (base := inspection.image(recipes.base_image(recipe))):
        return None
    found = inspection.container(name_of(recipe, recipes.tag(recipe, base["Id"]), (), seconds))
    address = inspection.published(found, recipe.port) if found and found["State"]["Running"] else None
    return FoundContainer(backend, recipe, found, address) if found and address else None


class FoundContainer:
    """The container of a server that an earlier run has started.

    Only its rare methods need the docker package.
    """

    lingers = True
    is_new = False

    def __init__(
        self, backend: Backend, recipe: Recipe, description: dict[str, Any], published: tuple[str, int]
    ) -> None:
        self.id = str(description["Id"])
        self.source = f"{recipes.base_image(recipe)}, lingering container {self.id[:12]}"
        self._backend, self._recipe, self._published = backend, recipe, published
        networks = description["NetworkSettings"]["Networks"]
        self._address = str(next(iter(networks.values()))["IPAddress"]), recipe.port
        started = datetime.fromisoformat(f"{description['State']['StartedAt'][:19]}+00:00")
        self.age = (datetime.now(UTC) - started).total_seconds()

    @property
    def capabilities(self) -> frozenset[str]:
        """Return the capabilities that the container adds to the backend's."""
        return inspection.capabilities_at(self._address)

    def url(self) -> URL:
        """Return the URL by which this process reaches the database that the image contains."""
        return recipes.url(self._backend, *self._published)

    def has_ended(self) -> bool:
        """Return whether the server has stopped running."""
        from flask_sqlalchemy_testbed.servers.containers import has_ended  # noqa: PLC0415 - most runs need it not

        return has_ended(self._backend, self.id)

    def log(self, since: float) -> str:
        """Return the server's log since this `time.time()`, or why it cannot be read."""
        from flask_sqlalchemy_testbed.servers.containers import log_of  # noqa: PLC0415 - as above

        return log_of(self._backend, self.id, since)

    def keep(self, database: str) -> list[str]:
        """Leave the container, under a name that says so."""
        from flask_sqlalchemy_testbed.servers.containers import keep  # noqa: PLC0415 - as above

        return keep(self._backend, self.id, database)

    def remove(self) -> None:
        """Have the server end when its other runs have ended."""
        from flask_sqlalchemy_testbed.servers.containers import retire  # noqa: PLC0415 - as above

        retire(self._backend, self.id)
