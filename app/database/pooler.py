"""Apply settings where a pooler such as PgBouncer gives each transaction any session of the server.

Such a pooler refuses or drops settings that a client sends at its log-in, and what ``SET`` changes
stays on the server's session for the next client.
"""

from __future__ import annotations

import re
from contextlib import closing
from typing import TYPE_CHECKING, Any

from sqlalchemy import event

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

# A setting as libpq's ``options`` spells it: -c name=value or --name=value, with quoted spaces.
_SETTING = re.compile(r"(?:-c\s*|--)([\w.-]+)=((?:\\.|[^\s\\])*)", re.DOTALL)
# The server would take the text of such a list as one name.
_LISTS_OF_NAMES = {"search_path", "temp_tablespaces"}
_LOST = (
    "SELECT 1 WHERE current_setting('statement_timeout') = '0' AND EXISTS"
    " (SELECT FROM pg_settings WHERE name = 'statement_timeout' AND source = 'default')"
)


class LostSettingError(RuntimeError):
    """The server does not have a setting that the engine has sent. The message says what to do."""


def set_at_begin(engine: Engine, options: str) -> None:
    """Set the settings for each transaction of ``engine``, at its begin.

    Args:
        engine: An engine on PostgreSQL.
        options: The settings, in the format of libpq's ``options``.

    Raises:
        ValueError: The options hold more than settings.
    """
    if rest := _SETTING.sub("", options).strip():
        message = f"Behind a pooler, options can hold settings alone (-c name=value). Remove {rest!r}."
        raise ValueError(message)
    values = {
        name.replace("-", "_"): re.sub(r"\\(.)", r"\1", value) for name, value in _SETTING.findall(options)
    }
    statement = "; ".join(f"SET LOCAL {name} = {_literal(name, value)}" for name, value in values.items())
    dialect: Any = engine.dialect
    begin, begin_twophase = dialect.do_begin, dialect.do_begin_twophase

    def apply(connection: PoolProxiedConnection) -> None:
        if not dialect.detect_autocommit_setting(connection.dbapi_connection):
            with closing(connection.cursor()) as cursor:
                cursor.execute(statement)

    # In a listener of ``begin``, SQLAlchemy would not notice that the connection is lost.
    def do_begin(connection: PoolProxiedConnection) -> None:
        begin(connection)
        apply(connection)

    def do_begin_twophase(connection: Connection, xid: object) -> None:
        begin_twophase(connection, xid)
        apply(connection.connection)

    dialect.do_begin, dialect.do_begin_twophase = do_begin, do_begin_twophase


def refuse_lost_limit(engine: Engine) -> None:
    """Refuse the first connection of ``engine`` if the server knows no limit for a statement.

    Args:
        engine: An engine on PostgreSQL that sends a limit when it connects.
    """

    def connected(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
        with closing(connection.cursor()) as cursor:
            cursor.execute(_LOST)
            is_lost = cursor.fetchone() is not None
        connection.rollback()
        if is_lost:
            connection.close()
            message = "A pooler has dropped statement_timeout. Pass behind_pooler=True to init_engine."
            raise LostSettingError(message)

    event.listen(engine, "first_connect", connected)


def _literal(name: str, value: str) -> str:
    parts = [part.strip().strip('"') for part in value.split(",")] if name in _LISTS_OF_NAMES else [value]
    return ", ".join("'{}'".format(part.replace("'", "''")) for part in parts)
