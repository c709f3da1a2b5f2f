"""Refuse connections to databases outside the run while the app's start-up code runs."""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import os
import re
import sys
import threading
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from sqlalchemy import event
from sqlalchemy.engine import Engine

from flask_sqlalchemy_testbed.options import flag
from flask_sqlalchemy_testbed.subject.errors import StartedElsewhereError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

# Only databases of runs have such a name.
DATABASE_OF_A_RUN = re.compile(r"testbed_[0-9a-f]{12}(?![0-9a-f])")
# A file of the run may be reached by a link with a longer name.
FILE_OF_A_RUN = "testbed_"

_lock = threading.Lock()
_watching: list[list[str]] = []
_installed = False


class ForbiddenDatabaseError(Exception):
    """The database is not one of this run; the connection was refused, and nothing was sent."""


@contextlib.contextmanager
def only_databases_of_the_run() -> Iterator[list[str]]:
    """Refuse connections of all threads to any other database, with `ForbiddenDatabaseError`.

    Yields:
        The databases that have been refused so far, in words; more are added during the block.
    """
    _install()
    refused: list[str] = []
    with _lock:
        _watching.append(refused)
    try:
        yield refused
    finally:
        with _lock:
            _watching[:] = [other for other in _watching if other is not refused]


@contextlib.contextmanager
def guarded_start(app: str) -> Iterator[None]:
    """Run the start-up code of an app; it may connect to databases of the run only.

    Args:
        app: the app in words, for the message.

    Raises:
        StartedElsewhereError: the app tried to connect to another database, even if it caught the refusal.
    """
    error: Exception | None = None
    with only_databases_of_the_run() as refused:
        try:
            yield
        except Exception as raised:
            if not refused:
                raise
            error = raised
    if refused:
        message = (
            f"{app} tried to connect to {refused[0]} when it started: that is not a database of this run, and"
            " the connection was refused. Name the place where the app reads the URI:"
            f" {flag('uri-key')} KEY, or {flag('uri-env')} VARIABLE."
        )
        raise StartedElsewhereError(message) from error


def _refuse_unless_ours(database: str, description: str) -> None:
    if not _watching or DATABASE_OF_A_RUN.match(database):
        return
    with _lock:
        for refused in _watching:
            refused.append(description)
    message = (
        f"{description} is not a database of this run; the connection was refused, and nothing was sent."
    )
    raise ForbiddenDatabaseError(message)


def _check_file(path: str) -> None:
    text = path.removeprefix("file:").partition("?")[0]
    if text in {"", ":memory:"} or "mode=memory" in path or "vfs=memdb" in path:
        return
    if not PurePath(text).name.startswith(FILE_OF_A_RUN):
        _refuse_unless_ours("", f"the SQLite file {text}")


def _check_server(options: Mapping[str, Any]) -> None:
    """Check the options of a connection, under whichever names a driver gives them."""
    names = (str(options[name]) for name in ("dbname", "database", "db") if options.get(name))
    database = next(names, "")
    host = options.get("host") or options.get("unix_socket") or "the default host"
    port = f":{options['port']}" if options.get("port") else ""
    _refuse_unless_ours(database, f"the database {database or '(none named)'} on {host}{port}")


def _before_engine_connects(dialect: Any, _: object, arguments: list[Any], options: dict[str, Any]) -> None:
    """Check the connections of engines, whose drivers may be others than those wrapped below."""
    if not _watching:
        return
    if dialect.name == "sqlite":
        _check_file(str(arguments[0] if arguments else options.get("database", "")))
    else:
        _check_server({**_parsed(arguments[0] if arguments else ""), **options})


def _parsed(dsn: object) -> dict[str, str]:
    """Return the options in a text such as `host=localhost dbname=shop`, or in a URI."""
    text = os.fsdecode(dsn) if isinstance(dsn, (str, bytes)) else ""
    if match := re.match(r"\w[\w+]*://(?:[^@/]*@)?([^:/]*)(?::(\d+))?/([^?]*)", text):
        return {"host": match[1], "port": match[2] or "", "dbname": match[3]}
    pairs = re.findall(r"(\w+)\s*=\s*('(?:[^'\\]|\\.)*'|\S+)", text)
    return {name: value.strip("'") for name, value in pairs}


def _install() -> None:
    """Install the hooks once; outside the block they do nothing.

    Audit hooks cannot be removed.
    """
    global _installed  # noqa: PLW0603 - there is one per process
    with _lock:
        if _installed:
            return
        _installed = True
    event.listen(Engine, "do_connect", _before_engine_connects)
    sys.addaudithook(_audit)
    # Drivers that are used without an engine, or by an engine with a `creator`.
    _wrap("psycopg2", "psycopg2", "_connect", lambda dsn="", *_, **options: {**_parsed(dsn), **options})
    _wrap(
        "psycopg",
        "psycopg",
        "Connection.connect",
        lambda _, conninfo="", **options: {**_parsed(conninfo), **options},
    )
    _wrap("pymysql", "pymysql.connections", "Connection.connect", lambda connection, *_: vars(connection))
    _wrap("MySQLdb", "MySQLdb.connections", "Connection.__init__", _options_of_mysqlclient)


def _audit(name: str, arguments: tuple[Any, ...]) -> None:
    if _watching and name == "sqlite3.connect":
        _check_file(os.fsdecode(arguments[0]))


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


def _wrap(package: str, module: str, path: str, options_of: Callable[..., Mapping[str, Any]]) -> None:
    """Check the options before the function of an installed driver connects."""
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
        if _watching:
            _check_server(options_of(*arguments, **named))
        return call(*arguments, **named)

    setattr(owner, name, classmethod(connect) if call is not original else connect)
