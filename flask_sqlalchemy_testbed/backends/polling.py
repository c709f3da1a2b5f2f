"""What a server tells of a database at once: who is at it, and what was written since it was clean."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.backends.base import Look

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flask_sqlalchemy_testbed.backends.base import Backend, Built
    from flask_sqlalchemy_testbed.backends.connection import Connection

# More tables than this in one statement would meet SQLite's limit on compound selects.
TABLES_AT_ONCE = 400


class Asking:
    """The sure way, for a server that keeps no count of writes: it asks for everything, each time."""

    def __init__(self, backend: Backend, connection: Connection, built: Built) -> None:
        self._backend = backend
        self._connection = connection
        self._built = built

    def look(self) -> Look:
        """Several round trips. Who is busy is asked first: what they have ended by then can be seen."""
        busy = [open_.session for open_ in self._backend.transactions(self._connection)]
        written = [*with_rows(self._connection, self._built.empty), *self._built.rows]
        now = identities(self._backend, self._connection)
        moved = [again for name, again in self._built.identities.items() if now.get(name) != again]
        return Look(busy, object(), written, moved)

    def empty(self, tables: Sequence[str], restart: Sequence[str]) -> None:
        """Nothing needs to be kept in mind."""
        self._connection.batch([*self._backend.empty(tables), *restart] if tables else restart)

    def accept(self, tables: Sequence[str]) -> None:
        """They are asked for again."""


def with_rows(connection: Connection, tables: Sequence[str]) -> list[str]:
    """Those of the tables that have any."""
    found: list[str] = []
    for start in range(0, len(tables), TABLES_AT_ONCE):
        some = tables[start : start + TABLES_AT_ONCE]
        found += [some[number] for (number,) in connection.rows(which_have_rows(some))]
    return found


def which_have_rows(tables: Sequence[str]) -> str:
    """A question for the numbers of the tables that have rows."""
    question = "SELECT {} WHERE EXISTS (SELECT 1 FROM {})"
    return " UNION ALL ".join(question.format(number, table) for number, table in enumerate(tables))


def identities(backend: Backend, connection: Connection) -> dict[str, str]:
    """Where generated keys stand, where that can be asked: by name, what has them go on from there."""
    return dict(connection.rows(backend.identities)) if backend.identities else {}
