"""SQLite: a file, in the process of the tests themselves."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.backends.base import Backend, Look, OpenTransaction, delete_one_by_one
from flask_sqlalchemy_testbed.backends.polling import with_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flask_sqlalchemy_testbed.backends.base import Built
    from flask_sqlalchemy_testbed.backends.connection import Connection


def writers(connection: Connection) -> list[OpenTransaction]:
    """It lists nothing, but lets only one write at a time: who cannot begin has found another."""
    connection.rows("PRAGMA busy_timeout = 0")
    try:
        connection.run(["BEGIN IMMEDIATE", "ROLLBACK"])
    except Exception as error:
        if "locked" not in str(error):
            raise
        return [OpenTransaction("?", "it holds the write lock")]
    finally:
        connection.rows(WAIT_FOR_LOCKS)
    return []


class SqliteWatch:
    """Looks while it has the write lock, which it gets when nobody else is writing."""

    def __init__(self, connection: Connection, built: Built) -> None:
        self._connection = connection
        self._path = Path(connection.url.database or "")
        self._built = built
        self._file = self._which_file()
        # Others' commits, as this connection counts them. Whoever has used it since then may have written.
        self._seen = self._known = 0, 0
        self._left_at = -1

    def look(self) -> Look:
        """Fails where the file is another one by now."""
        if self._which_file() != self._file:
            message = f"{self._path} was replaced"
            raise FileNotFoundError(message)
        connection, used = self._connection, self._connection.executed
        connection.rows("BEGIN IMMEDIATE")
        try:
            ((commits, *objects),) = connection.rows(LOOK)
            self._seen = commits, connection.opened
            written: Sequence[str] = ()
            if (*self._seen, used) != (*self._known, self._left_at):
                written = [*with_rows(connection, self._built.empty), *self._built.rows]
        finally:
            connection.rows("ROLLBACK")
        return Look((), tuple(objects), written, ())

    def empty(self, tables: Sequence[str], restart: Sequence[str]) -> None:
        """Its own writes are no others' commits."""
        self._connection.run([*DELETE(tables), *restart])
        self._left_at = self._connection.executed

    def accept(self, _tables: Sequence[str]) -> None:
        """Whoever has written since the look is seen by the next."""
        self._known, self._left_at = self._seen, self._connection.executed

    def _which_file(self) -> tuple[int, int]:
        found = self._path.stat()
        return found.st_dev, found.st_ino


LOOK = """
    SELECT data_version, schema_version, user_version, application_id
    FROM pragma_data_version, pragma_schema_version, pragma_user_version, pragma_application_id
"""
DELETE = delete_one_by_one("BEGIN IMMEDIATE")
WAIT_FOR_LOCKS = "PRAGMA busy_timeout = 3000"
NOTHING = "SELECT 1 WHERE 0"

SQLITE = Backend(
    name="sqlite",
    drivername="sqlite",
    schemes=frozenset({"sqlite"}),
    capabilities=frozenset({"embedded", "restarts-identities"}),
    recipe=None,
    login_options=MappingProxyType({}),
    refusal="unable to open|not a database",
    connect_options=MappingProxyType({"check_same_thread": False}),
    patience=(WAIT_FOR_LOCKS,),
    version="SELECT sqlite_version()",
    complaint=NOTHING,
    whereabouts="SELECT file FROM pragma_database_list WHERE name = 'main'",
    databases=NOTHING,
    lock=NOTHING,
    stale=NOTHING,
    create=(),
    keep=(),
    drop=(),
    # Dropping a virtual table drops those that it is made of, which do not let themselves be dropped first.
    objects="""
        SELECT type || ' ' || name, coalesce(sql, ''),
               'DROP ' || type || ' IF EXISTS "' || replace(name, '"', '""') || '"',
               CASE type WHEN 'table' THEN '"' || replace(name, '"', '""') || '"' END
        FROM (SELECT * FROM sqlite_master ORDER BY sql NOT LIKE 'CREATE VIRTUAL%')
        WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
        UNION ALL
        SELECT NULL, NULL, NULL, name FROM sqlite_master WHERE name = 'sqlite_sequence'
        UNION ALL
        SELECT 'versions', user_version || ' ' || application_id, NULL, NULL
        FROM pragma_user_version, pragma_application_id
    """,
    watch=SqliteWatch,
    empty=DELETE,
    identities="",
    restart="",
    transactions=writers,
    sessions=NOTHING,
    terminate="",
    settings="""
        SELECT 'encoding', encoding FROM pragma_encoding
        UNION ALL SELECT 'journal_mode', journal_mode FROM pragma_journal_mode
        UNION ALL SELECT 'compile options', group_concat(compile_options, ', ') FROM pragma_compile_options
    """,
    activity="SELECT 1 WHERE 0",
)
