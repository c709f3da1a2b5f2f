"""A clean database for every test, with real commits: what exists is asked of the server, never guessed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from testbed.databases import Database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from testbed.servers import Server

    Schema = Callable[[str], None]

# More tables than this in one statement would meet SQLite's limit on compound selects.
TABLES_AT_ONCE = 400


class NotCleanError(RuntimeError):
    """The database could not be made clean; what stands in the way is in the message."""


class Isolation:
    """Makes a database as its schema left it: the same tables, with no row but those that the schema put in.

    It begins with a database that is new. The schema is called with the database's URI while the database is
    empty: at first, and again when a test has changed what cannot be mended table by table.
    """

    def __init__(self, server: Server, name: str) -> None:
        self.database = Database(server.backend, server.locate(name))
        self._server = server
        self._name = name
        self._schema: Schema | None = None
        self._as_built: _Contents | None = None
        self._untouched = True

    def clean(self, schema: Schema | None = None) -> None:
        """Undoes what earlier tests left, whoever wrote it; ends the sessions that stand in the way."""
        if self._as_built is None or schema is not self._schema:
            self._rebuild(schema)
            return
        try:
            if self._mend(self._as_built):
                return
        except Exception:  # noqa: BLE001
            # Mostly a lock that somebody holds; a second time, whatever is wrong is told.
            self.database.terminate(self.database.sessions())
        try:
            self._rebuild(schema)
        except Exception as error:
            reason = str(error).strip().splitlines()[0]
            message = f"{self._name} cannot be made clean for the next test: {reason}"
            raise NotCleanError(message) from error

    def _mend(self, built: _Contents) -> bool:
        """Whether it was enough to drop what was made and to delete what was written."""
        now = _Contents(self.database)
        if made := [drop for name, drop in now.drops.items() if name not in built.definitions]:
            self.database.connection.run(made)
            now = _Contents(self.database)
        if now.definitions != built.definitions:
            return False
        if any(self._rows(table) != rows for table, rows in built.rows.items()):
            return False
        return self._delete_rows(
            [table for table in now.tables if table not in built.rows]
        ) and self._restart(built)

    def _delete_rows(self, tables: list[str]) -> bool:
        for _ in range(3):  # A trigger may write elsewhere when rows go.
            dirty = _with_rows(self.database, tables)
            if not dirty:
                return True
            self.database.connection.run(self.database.backend.empty(dirty))
        return False

    def _restart(self, built: _Contents) -> bool:
        now = _identities(self.database)
        self.database.connection.run(
            [again for name, again in built.identities.items() if now.get(name) != again]
        )
        return True

    def _rows(self, table: str) -> list[tuple[Any, ...]]:
        return self.database.connection.rows(f"SELECT * FROM {table}")  # noqa: S608

    def _rebuild(self, schema: Schema | None) -> None:
        self._as_built = None
        if not self._untouched:
            self.database.connection.close()
            self._server.drop(self._name)
            self._server.create(self._name)
        self._untouched = False
        if schema is not None:
            schema(self.database.uri)
        built = _Contents(self.database)
        built.rows = {table: self._rows(table) for table in _with_rows(self.database, built.tables)}
        built.identities = _identities(self.database)
        self._schema, self._as_built = schema, built


class _Contents:
    """What there is in a database, as its server tells."""

    def __init__(self, database: Database) -> None:
        found = database.connection.rows(database.backend.objects)
        self.definitions = {name: definition for name, definition, _, _ in found if name}
        self.drops = {name: drop for name, _, drop, _ in found if name and drop}
        self.tables = [table for *_, table in found if table]
        self.rows: dict[str, list[tuple[Any, ...]]] = {}
        self.identities: dict[str, str] = {}


def _with_rows(database: Database, tables: list[str]) -> list[str]:
    found: list[str] = []
    for start in range(0, len(tables), TABLES_AT_ONCE):
        some = tables[start : start + TABLES_AT_ONCE]
        found += [some[number] for (number,) in database.connection.rows(_which_have_rows(some))]
    return found


def _which_have_rows(tables: Iterable[str]) -> str:
    question = "SELECT {} WHERE EXISTS (SELECT 1 FROM {})"
    return " UNION ALL ".join(question.format(number, table) for number, table in enumerate(tables))


def _identities(database: Database) -> dict[str, str]:
    question = database.backend.identities
    return dict(database.connection.rows(question)) if question else {}
