"""Refuse the app's connections to databases that this run did not create.

Databases on servers are compared by name: names of runs are random, and some checks forward another port to
their server. SQLite files are compared by real path; databases in memory are always allowed.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from flask_sqlalchemy_testbed.backends.connection import is_connecting
from flask_sqlalchemy_testbed.options import flag
from flask_sqlalchemy_testbed.subject import app_threads
from flask_sqlalchemy_testbed.subject.errors import StartedElsewhereError, SubjectError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import FrameType

    from sqlalchemy.engine import URL

# Hands the allowed databases to child processes, as JSON.
VARIABLE = "TESTBED_GUARD"
# Packages that keep a SQLite file of their own while the app runs.
EXEMPT = ("coverage",)

_lock = threading.Lock()
_allowed: set[str] = set()
_reached: set[str] = set()
"""The allowed databases to which the app has connected since the last `guarded_start`."""
_watching: list[list[Refusal]] = []
_log = ""
"""In a child process: the file for its refusals."""


class ForbiddenDatabaseError(Exception):
    """The database is not one of this run; the connection was refused, and nothing was sent."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A connection that was refused."""

    database: str
    """The database in words."""
    file: str = ""
    """The path of a SQLite file."""
    thread: str = ""
    """The thread of the app that connected, and its line; empty for code that the run calls."""

    def __str__(self) -> str:
        return self.database

    @property
    def app(self) -> str:
        """Return the app, or its thread, as the subject of a sentence."""
        return f"The app's thread {self.thread}" if self.thread else "The app"

    @property
    def advice(self) -> str:
        """Return a sentence on a connection that the app opened while it was tested."""
        if self.thread:
            return (
                "The run has called the factory in several ways, once with its own configuration: name a"
                f" function that makes the app, {flag('app')} testbed_app.py:app_for, or start no thread in"
                " the factory."
            )
        return (
            f"Have the app read where this database is from the configuration that it is given{self.remedy}."
        )

    @property
    def remedy(self) -> str:
        """Return a clause on the use of a second SQLite file; empty for other databases."""
        second = "or, if it is a second file, such as a cache, allow it"
        return f", {second}: {flag('allow-file')} {self.file}" if self.file else ""


def allow(url: URL) -> None:
    """Let the app connect to a database.

    Args:
        url: A database of this run. A relative SQLite path means a file of that name in any folder, so the
            name must be unique.
    """
    database = url.database or ""
    if url.get_backend_name() == "sqlite" and Path(database).is_absolute():
        allow_file(database)
    else:
        _allowed.add(database)


def allow_file(path: str | Path) -> None:
    """Let the app connect to a SQLite file.

    Args:
        path: Its path; it need not exist.
    """
    _allowed.update((os.path.abspath(path), os.path.realpath(path)))  # noqa: PTH100 - Path.resolve follows links


def environment(log: Path | None = None) -> dict[str, str]:
    """Return the variable with which `inherit` allows the same databases in a child process.

    Args:
        log: A file for the refusals of the child, which `read_refusals` reads.
    """
    return {VARIABLE: json.dumps({"allowed": sorted(_allowed.copy()), "log": str(log or "")})}


def inherit() -> None:
    """Allow the databases that the parent process allows, and tell it of refusals."""
    global _log  # noqa: PLW0603 - there is one parent
    inherited = json.loads(os.environ.get(VARIABLE, '{"allowed": [], "log": ""}'))
    _allowed.update(inherited["allowed"])
    _log = inherited["log"]


def read_refusals(log: Path) -> None:
    """Count the refusals of a child process as this process's own.

    Args:
        log: The file that `environment` was given.
    """
    for line in log.read_text(encoding="utf-8").splitlines() if log.exists() else ():
        _notify(Refusal(*json.loads(line)))


def start() -> list[Refusal]:
    """Refuse connections of all threads to any other database until `stop`.

    Returns:
        The refusals so far; more are added.
    """
    from flask_sqlalchemy_testbed.subject.interception import intercept  # noqa: PLC0415 - it imports drivers

    intercept(lambda: bool(_watching), _check_file, _check_server)
    refusals: list[Refusal] = []
    with _lock:
        _watching.append(refusals)
    return refusals


def stop(refusals: list[Refusal]) -> None:
    """End what `start` began.

    Args:
        refusals: The result of `start`.
    """
    with _lock:
        _watching[:] = [other for other in _watching if other is not refusals]


@contextlib.contextmanager
def only_databases_of_the_run() -> Iterator[list[Refusal]]:
    """Refuse connections of all threads to any other database, with `ForbiddenDatabaseError`.

    Yields:
        The refusals so far; more are added during the block.
    """
    refusals = start()
    try:
        yield refusals
    finally:
        stop(refusals)


@contextlib.contextmanager
def suspended() -> Iterator[None]:
    """Refuse nothing in the block, in which no code of the app runs."""
    with _lock:
        before = _watching.copy()
        _watching.clear()
    try:
        yield
    finally:
        with _lock:
            _watching[:0] = before


@contextlib.contextmanager
def guarded_start(app: str, uri: str) -> Iterator[None]:
    """Run the start-up code of an app; it may connect to databases of the run only.

    Args:
        app: the app in words, for the message.
        uri: the database that it is given.

    Raises:
        StartedElsewhereError: the app tried to connect to another database, even if it caught the refusal.
    """
    error: Exception | None = None
    _reached.clear()
    with only_databases_of_the_run() as refusals:
        try:
            yield
        except Exception as raised:
            if not refusals:
                from sqlalchemy import make_url  # noqa: PLC0415 - on use

                if isinstance(raised, SubjectError):
                    raised.has_connected = make_url(uri).database in _reached
                raise
            error = raised
    if refusals:
        message = (
            f"{app} tried to connect to {refusals[0]} when it started: that is not a database of this run,"
            " and the connection was refused. Name the place where the app reads the URI:"
            f" {flag('uri-key')} KEY, or {flag('uri-env')} VARIABLE{refusals[0].remedy}."
        )
        raise StartedElsewhereError(message) from error


def _check_file(path: str) -> None:
    """Refuse a SQLite file, given by a path or by a URI as SQLite reads it."""
    if path in _allowed:
        _reached.add(path)
        app_threads.end_if_over()
        return
    name = path
    if path.startswith("file:"):
        uri = urlsplit(path)
        name = unquote(uri.path)
        if "mode=memory" in uri.query or "vfs=memdb" in uri.query:
            return
    if name in {"", ":memory:"}:
        return
    places = {os.path.basename(name), os.path.abspath(name), os.path.realpath(name)}  # noqa: PTH100, PTH119
    if places & _allowed:
        _reached.update(places)
        app_threads.end_if_over()
    else:
        _refuse(Refusal(f"the SQLite file {name}", name, app_threads.place()))


def _check_server(options: Mapping[str, object]) -> None:
    """Refuse a database of a server, given by the options of a driver under any of their names."""
    names = (str(options[name]) for name in ("dbname", "database", "db") if options.get(name))
    database = next(names, "")
    if database in _allowed:
        _reached.add(database)
        app_threads.end_if_over()
        return
    host = options.get("host") or options.get("unix_socket") or "the default host"
    port = f":{options['port']}" if options.get("port") else ""
    _refuse(Refusal(f"the database {database or '(none named)'} on {host}{port}", thread=app_threads.place()))


def _refuse(refusal: Refusal) -> None:
    if is_connecting() or _caller().partition(".")[0] in EXEMPT:
        return
    _notify(refusal)
    if _log:
        with Path(_log).open("a", encoding="utf-8") as log:
            log.write(json.dumps([refusal.database, refusal.file, refusal.thread]) + "\n")
    message = f"{refusal} is not a database of this run; the connection was refused, and nothing was sent."
    raise ForbiddenDatabaseError(message)


def _notify(refusal: Refusal) -> None:
    for refusals in _watching.copy():
        refusals.append(refusal)


def _caller() -> str:
    """Return the module that called the driver."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - `inspect` reads source files
    while frame is not None and frame.f_globals.get("__package__") == __package__:
        frame = frame.f_back
    return frame.f_globals.get("__name__", "") if frame is not None else ""
