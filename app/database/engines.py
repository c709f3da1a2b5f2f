"""Create engines with the settings that each database needs.

The caller's settings replace these defaults: options of ``make_engine``, names in its
``connect_args``, and names in the query of the URI. ``options`` of PostgreSQL and
``init_command`` of MySQL are added to the defaults instead, and win over them; so does the
environment variable ``PGOPTIONS``.
"""

from __future__ import annotations

import os
from contextlib import closing
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine, event

from .errors import act_on_errors
from .pooler import refuse_lost_limit, set_at_begin
from .reset import reset_at_return
from .sqlite import prepare_sqlite, shared_memory
from .streams import discard_unread_rows
from .url import database_url, read_password

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from os import PathLike

    from sqlalchemy import URL, Engine
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.pool import ConnectionPoolEntry

CONNECT_SECONDS = 5
ANSWER_SECONDS = 30
LOCK_SECONDS = 5
# MySQL ends a SELECT before the driver would give up and lose the connection.
SELECT_SECONDS = 25

_MYSQL: dict[str, Any] = {
    # Replaces a pooled connection that the server has closed.
    "pool_pre_ping": True,
    "connect_args": {
        "charset": "utf8mb4",
        # The first comment is run by MySQL alone, the second by MariaDB.
        "init_command": "SET time_zone = '+00:00', sql_mode = 'TRADITIONAL,ONLY_FULL_GROUP_BY'"
        f", innodb_lock_wait_timeout = {LOCK_SECONDS}, lock_wait_timeout = {LOCK_SECONDS}"
        f" /*!50708 , max_execution_time = {SELECT_SECONDS * 1000} */"
        f" /*M!100101 , max_statement_time = {SELECT_SECONDS} */",
        "connect_timeout": CONNECT_SECONDS,
        "read_timeout": ANSWER_SECONDS,
        "write_timeout": ANSWER_SECONDS,
    },
}
_DEFAULTS: dict[str, dict[str, Any]] = {
    # How long the sqlite3 module waits for a lock.
    "sqlite": {"connect_args": {"timeout": CONNECT_SECONDS}},
    "postgresql": {
        "pool_pre_ping": True,
        "connect_args": {
            "connect_timeout": CONNECT_SECONDS,
            "options": f"-c timezone=UTC -c statement_timeout={ANSWER_SECONDS}s",
            # The limit in milliseconds for data that the server does not acknowledge;
            # statement_timeout is the limit for a server that does.
            "tcp_user_timeout": ANSWER_SECONDS * 1000,
        },
    },
    "mysql": _MYSQL,
    "mariadb": _MYSQL,
}
# Variables that the driver reads, unless an argument of ours hides them.
_ENVIRONMENT = {"postgresql": {"options": "PGOPTIONS", "connect_timeout": "PGCONNECT_TIMEOUT"}}


def make_engine(
    uri: str | URL,
    *,
    directory: str | PathLike[str] | None = None,
    password_file: str | PathLike[str] | None = None,
    reset_always: bool = False,
    behind_pooler: bool = False,
    **options: Any,
) -> Engine:
    """Create an engine with the defaults of its database. It connects on first use.

    A SQLite database in memory, however the URI spells it, is shared by all connections of the
    engine, each with its own transaction. It is deleted with the engine.

    A connection that sent a statement or a function which changes session state is reset at
    its return to the pool: ``SET``, ``USE``, ``LISTEN``, ``PRAGMA name = value``, temporary
    tables, user variables, locks of the session and the like. The text of the statements is
    searched, so these are missed: stored functions and procedures that change session state,
    and whatever bypasses SQLAlchemy's ``Connection``, such as a cursor of the driver or its
    attributes.

    Args:
        uri: As for ``database_url``.
        directory: As for ``database_url``.
        password_file: The first line of this file replaces the password. It is read for each
            connection, so that a new password needs no restart.
        reset_always: Reset every connection at its return. On MySQL and SQLite this opens a
            new connection for each use.
        behind_pooler: Whether PostgreSQL is behind a pooler that gives each transaction any session
            of the server, such as PgBouncer in transaction mode. The settings in ``options`` then
            apply from the begin of each transaction to its end, and not in autocommit mode. No
            connection is reset, since the session is not its own: use ``SET LOCAL`` alone. Other
            databases are left alone.
            Without this argument the first connection is refused if a pooler has dropped the limit
            for a statement.
        options: Arguments for ``create_engine``. With ``creator`` the caller's function connects,
            and none of the connection settings apply.

    Returns:
        The engine. The caller disposes of it. A connection that is in use at that moment is
        closed when it comes back to the pool.

    Raises:
        ValueError: As ``database_url``; or the password file has no password; or ``options`` hold
            more than settings, ``behind_pooler``.
        OSError: The password file cannot be read.
        TypeError: ``create_engine`` does not accept one of the options.
    """
    url = database_url(uri, directory=directory)
    backend = url.get_backend_name()
    behind_pooler = behind_pooler and backend == "postgresql"
    memory = shared_memory(url) if backend == "sqlite" else None
    url = memory or url
    defaults = _DEFAULTS.get(backend, {})
    if "pool" in options:
        # create_engine refuses settings of a pool that was made elsewhere.
        defaults = {name: value for name, value in defaults.items() if not name.startswith("pool_")}
    arguments, init_command = _connect_arguments(url, defaults, options.get("connect_args") or {})
    settings = arguments.get("options", "")
    if behind_pooler:
        # Not left out: libpq would read PGOPTIONS, and SQLAlchemy the query of the URI.
        arguments["options"] = ""
    engine = create_engine(url, **{**defaults, **options, "connect_args": arguments})
    if password_file is not None:
        read_password(password_file)  # Refuse a wrong file here, not at the first connection.
        event.listen(engine, "do_connect", _with_password(password_file))
    if init_command is not None:
        event.listen(engine, "connect", _run(init_command))
    if backend == "sqlite":
        autocommit = options.get("isolation_level") == "AUTOCOMMIT"
        prepare_sqlite(engine, in_memory=memory is not None, autocommit=autocommit)
    act_on_errors(engine)
    discard_unread_rows(engine)
    _close_connections_in_use_at_dispose(engine)
    if behind_pooler:
        set_at_begin(engine, settings)
    else:
        reset_at_return(engine, always=reset_always)
        if backend == "postgresql" and not options.keys() & {"creator", "pool"}:
            refuse_lost_limit(engine)
    return engine


def _connect_arguments(
    url: URL, defaults: Mapping[str, Any], connect_args: Mapping[str, Any]
) -> tuple[dict[str, Any], str | None]:
    """Return the arguments of the driver, and the caller's ``init_command`` to run after ours."""
    ours = defaults.get("connect_args", {})
    environment = _ENVIRONMENT.get(url.get_backend_name(), {})
    given = {
        **{name: os.environ[variable] for name, variable in environment.items() if variable in os.environ},
        **url.query,
        **connect_args,
    }
    arguments = {**{name: value for name, value in ours.items() if name not in given}, **connect_args}
    init_command = None
    if "options" in given.keys() & ours.keys():
        theirs = given["options"]
        arguments["options"] = " ".join([ours["options"], *([theirs] if isinstance(theirs, str) else theirs)])
    if "init_command" in given.keys() & ours.keys():
        # The driver runs one statement.
        init_command = given["init_command"]
        arguments["init_command"] = ours["init_command"]
    return arguments, init_command


def _run(statement: str) -> Callable[[DBAPIConnection, ConnectionPoolEntry], None]:
    def connected(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
        with closing(connection.cursor()) as cursor:
            cursor.execute(statement)

    return connected


def _with_password(path: str | PathLike[str]) -> Callable[..., None]:
    def connecting(_dialect: object, _record: object, _args: object, arguments: dict[str, Any]) -> None:
        arguments["password"] = read_password(path)

    return connecting


def _close_connections_in_use_at_dispose(engine: Engine) -> None:
    """Close a connection that was checked out when its engine was disposed of.

    ``dispose()`` does not know such a connection, and its old pool would keep it open.
    """
    epoch = [0]

    def connected(_connection: object, record: ConnectionPoolEntry) -> None:
        record.info["epoch"] = epoch[0]

    def disposed(_engine: Engine) -> None:
        epoch[0] += 1

    def returned(_connection: object, record: ConnectionPoolEntry) -> None:
        if record.info.get("epoch", epoch[0]) != epoch[0]:
            record.invalidate()

    event.listen(engine, "connect", connected)
    event.listen(engine, "engine_disposed", disposed)
    event.listen(engine, "checkin", returned)
