"""Call the guard before a driver connects.

All connections of SQLAlchemy's engines are seen, all of `sqlite3`, and those of the usual drivers of
PostgreSQL and MySQL. A connection that another driver opens without an engine is not.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import re
import sys
import threading
from typing import TYPE_CHECKING, Any

from sqlalchemy import event
from sqlalchemy.engine import Engine

from flask_sqlalchemy_testbed.subject.engines import note_places

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    CheckServer = Callable[[Mapping[str, Any]], None]
    OptionsOf = Callable[..., Mapping[str, Any]]

_lock = threading.Lock()
_installed = False


def intercept(
    is_active: Callable[[], bool], check_file: Callable[[str], None], check_server: CheckServer
) -> None:
    """Install the hooks; further calls do nothing, since audit hooks cannot be removed.

    Args:
        is_active: Returns whether to call the other two.
        check_file: Called with the path or URI of a SQLite database; it raises to refuse the connection.
        check_server: Called with the options of a driver; it raises to refuse the connection.
    """
    global _installed  # noqa: PLW0603 - there is one per process
    with _lock:
        if _installed:
            return
        _installed = True
    note_places()

    # Engines may use other drivers than those that are wrapped below.
    def before_engine_connects(
        dialect: Any, _: object, arguments: list[Any], options: dict[str, Any]
    ) -> None:
        if not is_active():
            return
        if dialect.name == "sqlite":
            check_file(os.fsdecode(arguments[0] if arguments else options.get("database", "")))
        else:
            check_server({**_parsed(arguments[0] if arguments else ""), **options})

    def audit(name: str, arguments: tuple[Any, ...]) -> None:
        if name == "sqlite3.connect" and is_active():
            check_file(os.fsdecode(arguments[0]))

    event.listen(Engine, "do_connect", before_engine_connects)
    sys.addaudithook(audit)
    # Drivers that are used without an engine, or by an engine with a `creator`.
    for package, module, path, options_of in DRIVERS:

        def before(*arguments: Any, options_of: OptionsOf = options_of, **named: Any) -> None:
            if is_active():
                check_server(options_of(*arguments, **named))

        _wrap(package, module, path, before)


def _parsed(dsn: object) -> dict[str, str]:
    """Return the options in a text such as `host=localhost dbname=shop`, or in a URI."""
    text = os.fsdecode(dsn) if isinstance(dsn, (str, bytes)) else ""
    if match := re.match(r"\w[\w+]*://(?:[^@/]*@)?([^:/]*)(?::(\d+))?/([^?]*)", text):
        return {"host": match[1], "port": match[2] or "", "dbname": match[3]}
    pairs = re.findall(r"(\w+)\s*=\s*('(?:[^'\\]|\\.)*'|\S+)", text)
    return {name: value.strip("'") for name, value in pairs}


def _options_of_psycopg(_: object, conninfo: str = "", **options: Any) -> dict[str, Any]:
    return {**_parsed(conninfo), **options}


def _options_of_mysqlclient(
    _: object,
    host: str = "",
    _user: str = "",
    _password: str = "",
    database: str = "",
    *__: object,
    **options: Any,
) -> dict[str, Any]:
    return {"host": host, "database": database, **options}


# Package, module, function, and the options of a connection from the arguments of that function.
DRIVERS: tuple[tuple[str, str, str, OptionsOf], ...] = (
    ("psycopg2", "psycopg2", "_connect", lambda dsn="", *_, **options: {**_parsed(dsn), **options}),
    ("psycopg", "psycopg", "Connection.connect", _options_of_psycopg),
    ("psycopg", "psycopg", "AsyncConnection.connect", _options_of_psycopg),
    ("pymysql", "pymysql.connections", "Connection.connect", lambda connection, *_: vars(connection)),
    ("MySQLdb", "MySQLdb.connections", "Connection.__init__", _options_of_mysqlclient),
)


def _wrap(package: str, module: str, path: str, before: Callable[..., None]) -> None:
    """Call `before` with the arguments of a driver's function before that function connects."""
    if importlib.util.find_spec(package) is None:
        return
    try:
        owner: Any = importlib.import_module(module)
        *owners, name = path.split(".")
        for part in owners:
            owner = getattr(owner, part)
        original = vars(owner)[name]
    except (ImportError, AttributeError, KeyError):  # Another version of the driver.
        return
    call = original.__func__ if isinstance(original, classmethod) else original

    @functools.wraps(call)
    def connect(*arguments: Any, **named: Any) -> Any:
        before(*arguments, **named)
        return call(*arguments, **named)

    setattr(owner, name, classmethod(connect) if call is not original else connect)
