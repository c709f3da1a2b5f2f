"""Reset the session state of pooled connections before their next use.

The rollback at the return of a connection does not undo ``SET``, ``USE``, locks of the session,
temporary tables and the like.
"""

from __future__ import annotations

import re
from contextlib import closing
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import event

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection, Engine
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.pool import ConnectionPoolEntry, PoolResetState

_CHANGED = "app.database.session_changed"
_LONGEST_CACHED = 4096


class Changes(NamedTuple):
    """Describe the statements that change what a connection keeps between transactions."""

    commands: str
    """An expression that matches the beginning of such a command."""
    anywhere: str
    """An expression that matches some part of such a statement."""
    words: tuple[str, ...]
    """Words in lower case; each match of ``anywhere`` contains one of them."""


_MYSQL = Changes(
    # SET TRANSACTION is for the next transaction only, SET STATEMENT of MariaDB for one statement.
    r"SET\b(?!\s+(?:TRANSACTION|STATEMENT)\b)|USE\b|LOCK\b|FLUSH\b|HANDLER\b|PREPARE\b"
    r"|CREATE\s+(?:OR\s+REPLACE\s+)?TEMPORARY\b|(?:CALL|LOAD)\b[^;]*@",
    r"@[^\s@,;()]+\s*:=|\bINTO\s+@|\bGET_LOCK\s*\(|\bservice_get_\w+_locks\s*\(",
    ("@", "get_lock", "service_get_"),
)
CHANGES = {
    "sqlite": Changes(
        r"PRAGMA\s+(?:[^\s.=(]+\.)?(?!table_|index_|foreign_key_(?:list|check)|integrity_check|quick_check"
        r"|optimize|wal_checkpoint|incremental_vacuum)\w+\s*[=(]"
        r"|(?:ATTACH|DETACH)\b|CREATE\s+TEMP(?:ORARY)?\b",
        r"\bload_extension\s*\(",
        ("load_extension",),
    ),
    "postgresql": Changes(
        r"SET\b(?!\s+(?:LOCAL|TRANSACTION|CONSTRAINTS)\b)|(?:RESET|LISTEN|DISCARD|LOAD|DO)\b"
        r"|PREPARE\b(?!\s+TRANSACTION\b)|DECLARE\b[^;]*\bWITH\s+HOLD\b|CREATE\b[^;]*\bpg_temp\b",
        r"\b(?:CREATE|REPLACE|INTO)\s+(?:(?:LOCAL|GLOBAL)\s+)?TEMP(?:ORARY)?\b"
        # The third argument true limits set_config to the transaction.
        r"|\bset_config\s*\((?![^()]*,\s*true\s*\))|\bpg_(?:try_)?advisory_lock(?:_shared)?\s*\("
        r"|\bsetseed\s*\(|\bdblink_connect",
        ("temp", "set_config", "advisory_lock", "setseed", "dblink_connect"),
    ),
    "mysql": _MYSQL,
    "mariadb": _MYSQL,
}

# A command may follow comments and other commands. MySQL runs the text of /*! comments */.
_BLANKS = r"(?:\s|/\*.*?\*/|--[^\n]*\n)*"
_LATER = (";", "/*!")


def reset_at_return(engine: Engine, *, always: bool) -> None:
    """Reset a connection when it returns to the pool, if its session state may have changed.

    With psycopg2 and psycopg 3 ``DISCARD ALL`` resets a connection, and the ``connect`` listeners
    are called again, since settings of theirs are reset too. Other drivers have no reset: the
    connection is closed, and the pool opens another.

    Args:
        engine: The engine; ``CHANGES`` has the statements that it is watched for.
        always: Reset at every return, without watching statements.
    """
    if not always:
        _watch(engine)
    if engine.driver in {"psycopg2", "psycopg"}:
        event.listen(engine, "reset", _discard_all(engine, always=always))
    else:
        event.listen(engine, "checkin", _reconnect(always=always))


def _watch(engine: Engine) -> None:
    changes = CHANGES.get(engine.dialect.name)
    if changes is None:
        return
    find = session_changes(changes)
    find_cached = lru_cache(512)(find)

    def executing(connection: Connection, _cursor: object, statement: str, *_: object) -> None:
        if (find_cached if len(statement) < _LONGEST_CACHED else find)(statement):
            connection.info[_CHANGED] = True

    event.listen(engine, "before_cursor_execute", executing)


def session_changes(changes: Changes) -> Callable[[str], bool]:
    """Return a function that tells whether a statement changes session state."""
    flags = re.IGNORECASE | re.DOTALL
    begins = re.compile(rf"{_BLANKS}(?:{changes.commands})", flags).match
    contains = re.compile(rf"(?:;|/\*!\d*){_BLANKS}(?:{changes.commands})|{changes.anywhere}", flags).search
    words = (*_LATER, *changes.words)

    def find(statement: str) -> bool:
        if begins(statement):
            return True
        # Searching a long statement for words is 20 times as fast as for the expression.
        lowered = statement.lower()
        return any(word in lowered for word in words) and contains(statement) is not None

    return find


def _discard_all(engine: Engine, *, always: bool) -> Callable[..., None]:
    def reset(connection: Any, record: ConnectionPoolEntry, state: PoolResetState) -> None:
        if state.terminate_only or not (record.info.pop(_CHANGED, False) or always):
            return
        # DISCARD ALL is refused in a transaction. If this raises, SQLAlchemy closes the connection.
        connection.rollback()
        autocommit = connection.autocommit
        with closing(connection.cursor()) as cursor:
            if engine.driver == "psycopg":
                # At a rollback the driver forgets the statements that it has prepared. Its
                # version 3.2 does not forget them at DISCARD ALL.
                connection.autocommit = False
                cursor.execute("SELECT 1")
                connection.rollback()
            connection.autocommit = True
            cursor.execute("DISCARD ALL")
        engine.pool.dispatch.connect(connection, record)
        connection.autocommit = autocommit

    return reset


def _reconnect(*, always: bool) -> Callable[..., None]:
    def returned(connection: DBAPIConnection | None, record: ConnectionPoolEntry) -> None:
        if connection is not None and (always or _CHANGED in record.info):
            record.invalidate()

    return returned
