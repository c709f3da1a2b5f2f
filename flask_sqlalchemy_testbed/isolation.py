"""Give each test a clean database, with real commits.

Only tables that were written to are cleaned.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from flask_sqlalchemy_testbed.backends.base import BuiltContents
from flask_sqlalchemy_testbed.backends.polling import PollingTracker, identity_positions, tables_with_rows
from flask_sqlalchemy_testbed.databases import Database
from flask_sqlalchemy_testbed.subject import guard

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask_sqlalchemy_testbed.backends.base import Snapshot, WriteTracker
    from flask_sqlalchemy_testbed.servers.network import Server
    from flask_sqlalchemy_testbed.statements import Statements

    Schema = Callable[[str], None]

# Deleting rows may fire triggers that write elsewhere, and dropping an object may have to come first.
MAX_ROUNDS = 6
# Seconds for sessions that are busy after a test to end by themselves; then they are terminated.
BUSY_TIMEOUT = 1.0
# How long a terminated session may take to end.
TERMINATION_TIMEOUT = 5.0
# `Backend.objects` begins with these the names of objects that may write when rows are deleted.
REACTIVE_OBJECTS = ("trigger ", "rule ")
MATERIALISED_VIEW = "MATERIALIZED VIEW "


class SchemaFunctionError(RuntimeError):
    """The function that creates the schema has raised the error that is the cause of this one."""


class NotCleanError(RuntimeError):
    """The database could not be cleaned; the message says why."""


class Isolation:
    """Restore a database to the state in which its schema left it: the same objects and rows.

    The database has to be new. The schema is a function that is called with the URI of the empty database:
    for the first test, and again after a test whose changes cannot be undone table by table.

    Before each test, one query finds what was written over any connection, and one batch deletes those rows.
    Definitions are compared only if an object was created, altered or dropped: if the server's count of its
    frequent kinds says so, or if `statements` has seen a statement that may have done it.
    """

    def __init__(self, server: Server, name: str, statements: Statements | None = None) -> None:
        self.database = Database.on(server, name)
        guard.allow(self.database.url)
        self._server = server
        self._name = name
        self._schema: Schema | None = None
        self._contents: _Contents | None = None
        self._tracker: WriteTracker | None = None
        self._objects: object = None
        self._statements = statements
        self._definitions = 0
        self._is_new = True

    def clean(self, schema: Schema | None = None, *, restart_identities: bool = False) -> None:
        """Undo the changes of earlier tests, and terminate sessions that prevent this.

        Args:
            schema: Creates the schema in an empty database, given its URI; None for an empty database.
            restart_identities: Restart generated keys also on backends where that is slow.

        Raises:
            NotCleanError: The database could not be cleaned.
        """
        self._server.renew_pooled(self._name)
        if self._contents is None or self._tracker is None or schema is not self._schema:
            self._rebuild(schema)
            return
        try:
            if self._undo(self._contents, self._tracker):
                if restart_identities and (restart := self.database.backend.restart):
                    connection = self.database.connection
                    connection.run([statement for (statement,) in connection.rows(restart)])
                return
        except Exception:  # noqa: BLE001 - mostly a lock timeout; if the rebuild fails too, its error is raised
            self.database.terminate(self.database.sessions())
        try:
            self._rebuild(schema)
        except Exception as error:
            reason = str(error).strip().splitlines()[0]
            message = f"{self._name} cannot be cleaned for the next test: {reason}"
            raise NotCleanError(message) from error

    def _undo(self, contents: _Contents, tracker: WriteTracker) -> bool:
        """Drop new objects and delete new rows; return whether that was enough."""
        sent = self._statements.definitions if self._statements else 0
        suspect = sent != self._definitions
        for _ in range(MAX_ROUNDS):
            snapshot = self._idle_snapshot(tracker)
            if suspect or snapshot.objects != self._objects:
                now = _Contents(self.database)
                if drops := [drop for name, drop in now.drops.items() if name not in contents.definitions]:
                    self.database.connection.run(drops)
                    continue
                if now.definitions != contents.definitions:
                    return False
                # The snapshot is older than the definitions, so no later change is missed.
                self._objects, self._definitions, suspect = snapshot.objects, sent, False
            tables = [table for table in snapshot.written if table not in contents.views]
            with_rows = [table for table in tables if table in contents.rows]
            if any(self._rows(table) != contents.rows[table] for table in with_rows):
                return False
            tracker.accept(with_rows)
            others = [table for table in tables if table not in contents.rows]
            if others or snapshot.restart:
                tracker.empty(others, snapshot.restart)
            if not others or not contents.reacts:
                return all(
                    self._refresh(contents, view) for view in snapshot.written if view in contents.views
                )
        return False

    def _refresh(self, contents: _Contents, view: str) -> bool:
        """Refresh a materialised view if its rows are not the built ones.

        Return whether they are the built ones then.
        """
        built = contents.rows.get(view, [])
        if self._rows(view) == built:
            return True
        self.database.connection.rows(f"REFRESH {MATERIALISED_VIEW}{view}")
        return self._rows(view) == built

    def _idle_snapshot(self, tracker: WriteTracker) -> Snapshot:
        """Return a snapshot without busy sessions: give them a moment to end, then terminate them."""
        started = time.monotonic()
        terminated = False
        while (snapshot := tracker.snapshot()).busy:
            waited = time.monotonic() - started
            if waited > BUSY_TIMEOUT + TERMINATION_TIMEOUT:
                message = f"sessions do not end: {', '.join(snapshot.busy)}"
                raise NotCleanError(message)
            if waited > BUSY_TIMEOUT and not terminated:
                self.database.terminate(list(snapshot.busy))
                terminated = True
            time.sleep(0.005)
        return snapshot

    def _rows(self, table: str) -> list[tuple[Any, ...]]:
        return self.database.connection.rows(f"SELECT * FROM {table}")  # noqa: S608 - a name from the catalogue

    def _rebuild(self, schema: Schema | None) -> None:
        self._contents = self._tracker = self._objects = None
        connection, backend = self.database.connection, self.database.backend
        if not self._is_new:
            connection.close()
            self._server.drop(self._name)
            self._server.create(self._name)
        self._is_new = False
        if schema is not None:
            try:
                schema(self.database.uri)
            except Exception as error:
                message = f"the schema of {self._name} cannot be created: {error}"
                raise SchemaFunctionError(message) from error
        contents = _Contents(self.database)
        contents.rows = {table: self._rows(table) for table in tables_with_rows(connection, contents.tables)}
        empty = [table for table in contents.tables if table not in contents.rows]
        built = BuiltContents(empty, contents.rows, identity_positions(backend, connection))
        self._tracker = backend.track_writes(connection, built) or PollingTracker(backend, connection, built)
        self._schema, self._contents = schema, contents
        self._definitions = self._statements.definitions if self._statements else 0


class _Contents:
    """The objects in a database, and the rows of its tables as far as they were read."""

    def __init__(self, database: Database) -> None:
        found = database.connection.rows(database.backend.objects)
        self.definitions = {name: definition for name, definition, _, _ in found if name}
        self.drops = {name: drop for name, _, drop, _ in found if name and drop}
        self.tables = [table for *_, table in found if table]
        """The tables and the materialised views."""
        self.views = {
            table for name, *_, table in found if table and (name or "").startswith(MATERIALISED_VIEW)
        }
        self.reacts = any(name.startswith(REACTIVE_OBJECTS) for name in self.definitions)
        self.rows: dict[str, list[tuple[Any, ...]]] = {}
