"""A clean database for every test, with real commits: the server tells what was written."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from flask_sqlalchemy_testbed.backends.base import Built
from flask_sqlalchemy_testbed.backends.polling import Asking, identities, with_rows
from flask_sqlalchemy_testbed.databases import NOTICE, Database

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask_sqlalchemy_testbed.backends.base import Look, Watch
    from flask_sqlalchemy_testbed.servers.network import Server

    Schema = Callable[[str], None]

# A trigger may write elsewhere when rows go, and what was made may have to be dropped first.
AT_MOST = 6
# Seconds that a session may take to end once it has been told to.
ENDING = 5.0
# What may write by itself when rows are deleted; `Backend.objects` begins their names so.
REACTS = ("trigger ", "rule ")


class NotCleanError(RuntimeError):
    """The database could not be made clean; what stands in the way is in the message."""


class Isolation:
    """Makes a database as its schema left it: the same tables, with no row but those that the schema put in.

    It begins with a database that is new. The schema is called with the database's URI while the database is
    empty: at first, and again when a test has changed what cannot be mended table by table.

    Each time, one question tells what was written, over whatever connection; where something was, one batch
    deletes that and no more. Definitions are compared only when something has been made, changed or dropped.
    """

    def __init__(self, server: Server, name: str) -> None:
        self.database = Database(server.backend, server.locate(name))
        self._server = server
        self._name = name
        self._schema: Schema | None = None
        self._as_built: _Contents | None = None
        self._watch: Watch | None = None
        self._objects: object = None
        self._untouched = True

    def clean(self, schema: Schema | None = None, *, restart_identities: bool = False) -> None:
        """Undoes what earlier tests left, whoever wrote it; ends the sessions that stand in the way.

        To `restart_identities` costs something on backends that do not do so anyway.
        """
        if self._as_built is None or self._watch is None or schema is not self._schema:
            self._rebuild(schema)
            return
        try:
            if self._mend(self._as_built, self._watch):
                if restart_identities and (restart := self.database.backend.restart):
                    connection = self.database.connection
                    connection.run([statement for (statement,) in connection.rows(restart)])
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

    def _mend(self, built: _Contents, watch: Watch) -> bool:
        """Whether it was enough to drop what was made and to delete what was written."""
        for _ in range(AT_MOST):
            look = self._look_when_nobody_is_busy(watch)
            if look.objects != self._objects:
                now = _Contents(self.database)
                if made := [drop for name, drop in now.drops.items() if name not in built.definitions]:
                    self.database.connection.run(made)
                    continue
                if now.definitions != built.definitions:
                    return False
                # What the look told was there before the definitions were asked for.
                self._objects = look.objects
            kept = [table for table in look.written if table in built.rows]
            if any(self._rows(table) != built.rows[table] for table in kept):
                return False
            watch.accept(kept)
            others = [table for table in look.written if table not in built.rows]
            if others or look.restart:
                watch.empty(others, look.restart)
            if not others or not built.reacts:
                return True
        return False

    def _look_when_nobody_is_busy(self, watch: Watch) -> Look:
        """What is under way may end by itself in a moment; then it is ended."""
        begun = time.monotonic()
        ended = False
        while (look := watch.look()).busy:
            waited = time.monotonic() - begun
            if waited > NOTICE + ENDING:
                message = f"sessions do not end: {', '.join(look.busy)}"
                raise NotCleanError(message)
            if waited > NOTICE and not ended:
                self.database.terminate(list(look.busy))
                ended = True
            time.sleep(0.005)
        return look

    def _rows(self, table: str) -> list[tuple[Any, ...]]:
        return self.database.connection.rows(f"SELECT * FROM {table}")  # noqa: S608

    def _rebuild(self, schema: Schema | None) -> None:
        self._as_built = self._watch = self._objects = None
        connection, backend = self.database.connection, self.database.backend
        if not self._untouched:
            connection.close()
            self._server.drop(self._name)
            self._server.create(self._name)
        self._untouched = False
        if schema is not None:
            schema(self.database.uri)
        found = _Contents(self.database)
        found.rows = {table: self._rows(table) for table in with_rows(connection, found.tables)}
        empty = [table for table in found.tables if table not in found.rows]
        built = Built(empty, found.rows, identities(backend, connection))
        self._watch = backend.watch(connection, built) or Asking(backend, connection, built)
        self._schema, self._as_built = schema, found


class _Contents:
    """What there is in a database, as its server tells."""

    def __init__(self, database: Database) -> None:
        found = database.connection.rows(database.backend.objects)
        self.definitions = {name: definition for name, definition, _, _ in found if name}
        self.drops = {name: drop for name, _, drop, _ in found if name and drop}
        self.tables = [table for *_, table in found if table]
        self.reacts = any(name.startswith(REACTS) for name in self.definitions)
        self.rows: dict[str, list[tuple[Any, ...]]] = {}
