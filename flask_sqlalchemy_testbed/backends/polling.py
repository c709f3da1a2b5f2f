"""Find writes by querying every table, for servers that do not count writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.backends.base import Snapshot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flask_sqlalchemy_testbed.backends.base import Backend, BuiltContents
    from flask_sqlalchemy_testbed.backends.connection import Connection

# SQLite limits a compound SELECT to 500 terms.
TABLES_PER_QUERY = 400


class PollingTracker:
    """The `WriteTracker` that works on every server; each snapshot takes several round trips."""

    def __init__(self, backend: Backend, connection: Connection, built: BuiltContents) -> None:
        self._backend = backend
        self._connection = connection
        self._built = built

    def snapshot(self) -> Snapshot:
        """List the busy sessions first: whatever the others have committed by then is visible."""
        found = self._backend.transactions(self._connection)
        busy = [each.session for each in found if each.kind == "transaction"]
        written = [*tables_with_rows(self._connection, self._built.empty), *self._built.rows]
        now = identity_positions(self._backend, self._connection)
        moved = [restart for name, restart in self._built.identities.items() if now.get(name) != restart]
        return Snapshot(busy, object(), written, moved)

    def empty(self, tables: Sequence[str], restart: Sequence[str]) -> None:
        """Delete the rows in one batch."""
        self._connection.batch([*self._backend.empty(tables), *restart] if tables else restart)

    def accept(self, tables: Sequence[str]) -> None:
        """Do nothing: the next snapshot queries these tables again."""


def tables_with_rows(connection: Connection, tables: Sequence[str]) -> list[str]:
    """Return those of the tables that have at least one row.

    Args:
        connection: A connection to their database.
        tables: Quoted names.
    """
    found: list[str] = []
    for start in range(0, len(tables), TABLES_PER_QUERY):
        some = tables[start : start + TABLES_PER_QUERY]
        query = " UNION ALL ".join(
            f"SELECT {number} WHERE EXISTS (SELECT 1 FROM {table})"  # noqa: S608
            for number, table in enumerate(some)
        )
        found += [some[number] for (number,) in connection.rows(query)]
    return found


def identity_positions(backend: Backend, connection: Connection) -> dict[str, str]:
    """Return the statement that restores each generator of keys, by name.

    See `Backend.identities`.

    Args:
        backend: The backend of the database.
        connection: A connection to the database.
    """
    return dict(connection.rows(backend.identities)) if backend.identities else {}
