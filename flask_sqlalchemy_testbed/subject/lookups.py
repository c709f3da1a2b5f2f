"""Record which environment variables the app looks up, and choose those that may hold its URI."""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import FrameType, TracebackType

    from sqlalchemy.engine import URL

# The parts of a URI, and a configuration file or class that holds the URI.
URI, FILE, CLASS = "URI", "file", "class"
USER, PASSWORD, HOST, PORT, DATABASE, DIALECT = "user", "password", "host", "port", "database", "dialect"
_OF_A_DATABASE = re.compile(
    r"db|jawsdb|cleardb|rds|(database|sql|postgres|pg|mysql|mariadb)\w*", re.IGNORECASE
)
_OF_A_SERVER = re.compile(r"(POSTGRES|PG|MYSQL|MARIADB)", re.IGNORECASE)
_LAST_WORDS = {
    URI: {"uri", "url", "dsn", "string", "connection"},
    USER: {"user", "username", "login", "role"},
    PASSWORD: {"password", "pass", "passwd", "pwd", "pw"},
    HOST: {"host", "hostname", "server", "address", "addr"},
    PORT: {"port"},
    DATABASE: {"name", "dbname", "path", "file", "filename"},
    DIALECT: {"dialect", "type", "engine", "backend"},
}
_CONFIGURATION = re.compile(r"\w*(settings|config|configuration|cfg|conf)(_file|_path)?", re.IGNORECASE)
_OWN = "flask_sqlalchemy_testbed."
# Modules between the app and `os.environ`.
_BETWEEN = {"os", "collections.abc", __name__}


class Lookups:
    """The environment variables that are looked up in this process, while it is entered."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        """Each with the function that looked it up first, as `module.function`."""

    def __enter__(self) -> Self:
        """Record from now on."""
        _Recording.listeners.append(self)
        os.environ.__class__ = _Recording  # it has no state of its own
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Record no more."""
        _Recording.listeners.remove(self)
        if not _Recording.listeners:
            os.environ.__class__ = os._Environ  # noqa: SLF001 - the class that it had


class _Recording(os._Environ[str]):  # noqa: SLF001 - `os.getenv` uses this object too
    """The class of `os.environ` while lookups are recorded."""

    listeners: list[Lookups] = []  # noqa: RUF012 - the instance must have no attribute more

    def __getitem__(self, name: str) -> str:
        caller = _caller()
        if not caller.startswith(_OWN):
            for lookups in self.listeners:
                lookups.names.setdefault(name, caller)
        return super().__getitem__(name)


def uri_variables(names: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that look like a database's URI or like parts of one, each with its part.

    `app.config.from_envvar` reads the name of a configuration file.

    Args:
        names: The variables, each with the function that looked it up.
    """
    found = {name: part for name in names if (part := _part_of(name))}
    if not set(found.values()) & {USER, HOST}:
        # Without a host, a variable that is called after the database holds all of the URI.
        found = {
            name: URI if part == DATABASE and _is_the_database(name) else part for name, part in found.items()
        }
    files = {name: FILE for name, caller in names.items() if caller == "flask.config.from_envvar"}
    return found | files


def configuration_variables(names: Iterable[str], part: str) -> dict[str, str]:
    """Return the variables that look like the name of a configuration, each with `part`."""
    return {
        name: part for name in names if _CONFIGURATION.fullmatch(name) and not name.startswith("FLASK_RUN")
    }


def value_of(part: str, url: URL, parts: Iterable[str]) -> str:
    """Return a part of a URL as the value of an environment variable.

    Args:
        part: The part.
        url: The URL.
        parts: All parts that are given; the host has the port with it if none of them is the port.
    """
    host, port = url.host or "", str(url.port or "")
    return {
        URI: url.render_as_string(hide_password=False),
        USER: url.username or "",
        PASSWORD: str(url.password or ""),
        HOST: host if PORT in parts or not port else f"{host}:{port}",
        PORT: port,
        DATABASE: url.database or "",
        DIALECT: url.get_backend_name(),
    }[part]


def _part_of(name: str) -> str:
    # `PGUSER` is written without a separator.
    words = [word for word in re.split(r"_+|(?<=^PG)(?=[A-Z])", name) if word]
    if not any(_OF_A_DATABASE.fullmatch(word) for word in words):
        return URI if name in {"DSN", "CONNECTION_STRING"} else ""
    last = words[-1].lower()
    if part := next((part for part, names in _LAST_WORDS.items() if last in names), ""):
        return part
    return DATABASE if last in {"db", "database"} else ""


def _is_the_database(name: str) -> bool:
    return bool(re.search(r"(^|_)(DB|DATABASE)$", name, re.IGNORECASE)) and not _OF_A_SERVER.match(name)


def _caller() -> str:
    frame: FrameType | None = sys._getframe(2)  # noqa: SLF001 - `inspect` reads source files
    while frame is not None and frame.f_globals.get("__name__") in _BETWEEN:
        frame = frame.f_back
    return f"{frame.f_globals.get('__name__', '')}.{frame.f_code.co_name}" if frame is not None else ""
