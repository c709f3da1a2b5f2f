"""Refuse a lingering server that is not as it was when it started."""

from __future__ import annotations

import contextlib
import hashlib
from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.backends.connection import Connection
from flask_sqlalchemy_testbed.servers.readiness import ServerError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import URL

    from flask_sqlalchemy_testbed.backends.base import Backend

# In the database that the image contains. A run uses the server only after the table has its row.
TABLE = "testbed_start"
MOST_NAMED = 3


class ServerChangedError(ServerError):
    """A lingering server is not as it was when it started."""


@contextlib.contextmanager
def joining(backend: Backend, url: URL) -> Iterator[None]:
    """Let one run at a time join a lingering server, if the server is as it was at its start.

    The first run notes the roles, the settings and all other things that the server's databases share. A run
    that was killed before it noted them has not used the server.

    Args:
        backend: The kind of the server.
        url: The database that the image contains.

    Raises:
        ServerChangedError: The server has changed.
        ServerError: Another run is joining it for too long.
    """
    with contextlib.closing(
        Connection(url, options=backend.connect_options, setup=backend.session_setup)
    ) as connection:
        ((granted,),) = connection.rows(backend.lock.replace("{database}", str(url.database)))
        if granted == 0:
            message = "Another run does not finish joining it."
            raise ServerError(message)
        now = _state(backend, connection)
        connection.rows(f"CREATE TABLE IF NOT EXISTS {TABLE} (state TEXT)")
        if not (noted := connection.rows(f"SELECT state FROM {TABLE}")):  # noqa: S608 - a constant
            connection.rows(f"INSERT INTO {TABLE} VALUES ('{' '.join(now)}')")  # noqa: S608 - digests
        elif changes := _changes(set(str(noted[0][0]).split()), now):
            message = f"since its start, {changes}."
            raise ServerChangedError(message)
        yield


def _state(backend: Backend, connection: Connection) -> dict[str, str]:
    """Return the names of the things that all databases share, by digests of their definitions."""
    found = [(f"setting {name}", str(value)) for name, value in connection.rows(backend.settings)]
    for objects in backend.shared(connection):
        # The server refuses to list some kinds, always.
        found += [(each.label, each.definition) for each in (objects or {}).values()]
    return {hashlib.sha256(repr(each).encode()).hexdigest()[:16]: each[0] for each in found}


def _changes(noted: set[str], now: dict[str, str]) -> str:
    names = sorted({name for digest, name in now.items() if digest not in noted})
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    if names:
        return f"{', '.join(names[:MOST_NAMED])}{more} changed or appeared"
    return "roles or settings disappeared" if noted - now.keys() else ""
