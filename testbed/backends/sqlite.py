"""SQLite: a file, in the process of the tests themselves."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from testbed.backend import Backend, OpenTransaction, delete_one_by_one

if TYPE_CHECKING:
    from testbed.connections import Connection


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
    """,
    empty=delete_one_by_one("BEGIN IMMEDIATE"),
    identities="",
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
