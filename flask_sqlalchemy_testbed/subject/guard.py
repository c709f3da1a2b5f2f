"""While other people's start-up code runs it connects to databases of the run only: the rest is refused."""

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

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

# What a run calls its databases; nobody else's is called so.
OURS = re.compile(r"testbed_[0-9a-f]{12}(?![0-9a-f])")
# A file is the run's own, wherever a link to it lies.
OUR_FILE = "testbed_"

_lock = threading.Lock()
_watching: list[list[str]] = []
_installed = False


class ForbiddenDatabaseError(Exception):
    """Nothing was sent: the database is none of this run's."""


@contextlib.contextmanager
def only_databases_of_the_run() -> Iterator[list[str]]:
    """Within, connecting to any other raises, in whatever thread; yields the list of what was refused."""
    _install()
    refused: list[str] = []
    with _lock:
        _watching.append(refused)
    try:
        yield refused
    finally:
        with _lock:
            _watching[:] = [other for other in _watching if other is not refused]


def _judge(database: str, place: str) -> None:
    if not _watching or OURS.match(database):
        return
    with _lock:
        for refused in _watching:
            refused.append(place)
    message = f"{place} is no database of this run; the connection was refused, and nothing was sent."
    raise ForbiddenDatabaseError(message)


def _judge_file(path: str) -> None:
    text = path.removeprefix("file:").partition("?")[0]
    if text in {"", ":memory:"} or "mode=memory" in path or "vfs=memdb" in path:
        return
    if not PurePath(text).name.startswith(OUR_FILE):
        _judge("", f"the SQLite file {text}")


def _judge_server(told: Mapping[str, Any]) -> None:
    """By what a driver calls its options; `dsn` may be a text of all."""
    names = {name: str(told[name]) for name in ("dbname", "database", "db") if told.get(name)}
    host = told.get("host") or told.get("unix_socket") or "the default host"
    database = next(iter(names.values()), "")
    port = f":{told['port']}" if told.get("port") else ""
    _judge(database, f"the database {database or '(none named)'} on {host}{port}")


def _before_engine_connects(_dialect: Any, _record: object, words: list[Any], named: dict[str, Any]) -> None:
    """The engine may be of any driver, those included that are not known below."""
    if not _watching:
        return
    if _dialect.name == "sqlite":
        _judge_file(str(words[0] if words else named.get("database", "")))
    else:
        _judge_server({**_parsed(words[0] if words else ""), **named})


def _parsed(dsn: object) -> dict[str, str]:
    """What stands in a text such as `host=localhost dbname=shop`, or in a URI."""
    text = os.fsdecode(dsn) if isinstance(dsn, (str, bytes)) else ""
    if match := re.match(r"\w[\w+]*://(?:[^@/]*@)?([^:/]*)(?::(\d+))?/([^?]*)", text):
        return {"host": match[1], "port": match[2] or "", "dbname": match[3]}
    pairs = re.findall(r"(\w+)\s*=\s*('(?:[^'\\]|\\.)*'|\S+)", text)
    return {name: value.strip("'") for name, value in pairs}


def _install() -> None:
    """Once, and for good: an audit hook cannot be taken back. Outside `only_...` none of it does anything."""
    global _installed  # noqa: PLW0603 - of the process
    with _lock:
        if _installed:
            return
        _installed = True
    event.listen(Engine, "do_connect", _before_engine_connects)
    sys.addaudithook(_audit)
    # Those that are not used through an engine, or through one with a `creator`.
    _wrap("psycopg2", "psycopg2", "_connect", lambda dsn="", *_, **named: {**_parsed(dsn), **named})
    _wrap(
        "psycopg",
        "psycopg",
        "Connection.connect",
        lambda _, conninfo="", **named: {**_parsed(conninfo), **named},
    )
    _wrap("pymysql", "pymysql.connections", "Connection.connect", lambda it, *_: vars(it))
    _wrap("MySQLdb", "MySQLdb.connections", "Connection.__init__", _words_of_mysqlclient)


def _audit(name: str, words: tuple[Any, ...]) -> None:
    if _watching and name == "sqlite3.connect":
        _judge_file(os.fsdecode(words[0]))


def _words_of_mysqlclient(
    _: object,
    host: str = "",
    _user: str = "",
    _password: str = "",
    database: str = "",
    *__: object,
    **named: Any,
) -> dict[str, Any]:
    return {"host": host, "database": database, **named}


def _wrap(package: str, module: str, path: str, told: Callable[..., Mapping[str, Any]]) -> None:
    """Has the driver's own function ask first, where the driver is installed."""
    if importlib.util.find_spec(package) is None:
        return
    try:
        owner: Any = importlib.import_module(module)
        *owners, name = path.split(".")
        for part in owners:
            owner = getattr(owner, part)
        original = vars(owner)[name]
    except (ImportError, AttributeError, KeyError):  # Of a version that is made otherwise.
        return
    call = original.__func__ if isinstance(original, classmethod) else original

    @functools.wraps(call)
    def connect(*words: Any, **named: Any) -> Any:
        if _watching:
            _judge_server(told(*words, **named))
        return call(*words, **named)

    setattr(owner, name, classmethod(connect) if call is not original else connect)
