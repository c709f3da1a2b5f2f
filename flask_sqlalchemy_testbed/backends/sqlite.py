"""SQLite: the test process opens the database file."""

from __future__ import annotations

import contextlib
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.backends.base import (
    Backend,
    OpenTransaction,
    Snapshot,
    delete_one_by_one,
)
from flask_sqlalchemy_testbed.backends.polling import tables_with_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flask_sqlalchemy_testbed.backends.base import BuiltContents
    from flask_sqlalchemy_testbed.backends.connection import Connection


def writers(connection: Connection) -> list[OpenTransaction]:
    """Find a writing transaction by an attempt to begin one.

    SQLite allows only one at a time and lists none.
    """
    connection.rows("PRAGMA busy_timeout = 0")
    try:
        connection.run(["BEGIN IMMEDIATE", "ROLLBACK"])
    except Exception as error:
        if "locked" not in str(error):
            raise
        return [OpenTransaction("", "holds the write lock")]
    finally:
        connection.rows(WAIT_FOR_LOCKS)
    return []


def readers(connection: Connection) -> list[OpenTransaction]:
    """Find a reading transaction: it blocks a commit, or the checkpoint of a log.

    A checkpoint waits only for readers if there is something to copy, so this writes what is there already.
    """
    connection.rows("PRAGMA busy_timeout = 0")
    try:
        ((journal, version),) = connection.rows(JOURNAL)
        if journal == "wal":
            connection.rows(f"PRAGMA user_version = {version}")
            ((busy, *_),) = connection.rows("PRAGMA wal_checkpoint(TRUNCATE)")
        else:
            busy = False
            connection.run(["BEGIN EXCLUSIVE", "ROLLBACK"])
    except Exception as error:
        if "locked" not in str(error):
            raise
        busy = True
    finally:
        connection.rows(WAIT_FOR_LOCKS)
    return [OpenTransaction("", "reads the file")] if busy else []


class SqliteTracker:
    """Take each snapshot while holding the write lock, so that no other connection is writing."""

    def __init__(self, connection: Connection, built: BuiltContents) -> None:
        self._connection = connection
        self._path = Path(connection.url.database or "")
        self._built = built
        ((self._journal_mode,),) = connection.rows("PRAGMA journal_mode")
        self._file = self._file_id()
        # `data_version` counts other connections' commits only; this connection's own writes show in its
        # count of statements.
        self._seen = self._clean = 0, 0
        self._clean_at = -1

    def snapshot(self) -> Snapshot:
        """Raise FileNotFoundError if the file was replaced by another."""
        if self._file_id() != self._file:
            message = f"{self._path} was replaced by another file"
            raise FileNotFoundError(message)
        connection, count = self._connection, self._connection.statement_count
        self._restore_journal_mode()
        connection.rows("BEGIN IMMEDIATE")
        try:
            ((commits, *objects),) = connection.rows(SNAPSHOT)
            self._seen = commits, connection.times_connected
            written: Sequence[str] = ()
            if (*self._seen, count) != (*self._clean, self._clean_at):
                written = [*tables_with_rows(connection, self._built.empty), *self._built.rows]
        finally:
            connection.rows("ROLLBACK")
        return Snapshot((), tuple(objects), written, ())

    def empty(self, tables: Sequence[str], restart: Sequence[str]) -> None:
        """Delete the rows; `data_version` does not count this."""
        self._connection.run([*DELETE(tables), *restart])
        self._clean_at = self._connection.statement_count

    def accept(self, _tables: Sequence[str]) -> None:
        """Remember the snapshot's counts: the next one finds later writes."""
        self._clean, self._clean_at = self._seen, self._connection.statement_count

    def _restore_journal_mode(self) -> None:
        """Do nothing if another connection is still open: the file then keeps its write-ahead log."""
        if self._connection.rows("PRAGMA journal_mode") == [(self._journal_mode,)]:
            return
        self._connection.rows("PRAGMA busy_timeout = 0")
        with contextlib.suppress(Exception):
            self._connection.rows(f"PRAGMA journal_mode = {self._journal_mode}")
        self._connection.rows(WAIT_FOR_LOCKS)

    def _file_id(self) -> tuple[int, int]:
        found = self._path.stat()
        return found.st_dev, found.st_ino


SNAPSHOT = """
    SELECT data_version, schema_version, user_version, application_id
    FROM pragma_data_version, pragma_schema_version, pragma_user_version, pragma_application_id
"""
DELETE = delete_one_by_one("BEGIN IMMEDIATE")
WAIT_FOR_LOCKS = "PRAGMA busy_timeout = 3000"
JOURNAL = "SELECT journal_mode, user_version FROM pragma_journal_mode, pragma_user_version"
NOTHING = "SELECT 1 WHERE 0"

SQLITE = Backend(
    name="sqlite",
    drivers=(),
    schemes=frozenset({"sqlite"}),
    capabilities=frozenset({"embedded", "restarts-identities", "survives-full-disk"}),
    recipe=None,
    login_options=MappingProxyType({}),
    fatal_login_error="unable to open|not a database",
    lacking="no such module|^not authorized$|cannot open shared object file",
    connect_options=MappingProxyType({"check_same_thread": False}),
    session_setup=(WAIT_FOR_LOCKS,),
    version="SELECT sqlite_version()",
    unmet_requirements=NOTHING,
    current_database="SELECT file FROM pragma_database_list WHERE name = 'main'",
    databases=NOTHING,
    lock=NOTHING,
    stale=NOTHING,
    create=(),
    keep=(),
    drop=(),
    # Virtual tables first: dropping one drops its shadow tables, which cannot be dropped alone.
    objects="""
        SELECT type || ' ' || name, coalesce(sql, ''),
               'DROP ' || type || ' IF EXISTS "' || replace(name, '"', '""') || '"',
               CASE type WHEN 'table' THEN '"' || replace(name, '"', '""') || '"' END
        FROM (SELECT * FROM sqlite_master ORDER BY sql NOT LIKE 'CREATE VIRTUAL%')
        WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\' OR name LIKE 'sqlite\\_stat_' ESCAPE '\\'
        UNION ALL
        SELECT NULL, NULL, NULL, name FROM sqlite_master WHERE name = 'sqlite_sequence'
        UNION ALL
        SELECT 'versions', user_version || ' ' || application_id, NULL, NULL
        FROM pragma_user_version, pragma_application_id
    """,
    track_writes=SqliteTracker,
    empty=DELETE,
    identities="",
    restart="",
    transactions=writers,
    readers=readers,
    shared=lambda _connection: (),
    shared_statement="",
    sessions=NOTHING,
    terminate="",
    settings="""
        SELECT 'encoding', encoding FROM pragma_encoding
        UNION ALL SELECT 'journal_mode', journal_mode FROM pragma_journal_mode
        UNION ALL SELECT 'compile options', group_concat(compile_options, ', ') FROM pragma_compile_options
    """,
    activity=NOTHING,
)
