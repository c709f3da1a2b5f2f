"""Complete the URI of a database: its driver, its directory, its password."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from .sqlite import is_file

if TYPE_CHECKING:
    from os import PathLike


def database_url(uri: str | URL, *, directory: str | PathLike[str] | None = None) -> URL:
    """Parse ``uri`` and complete its driver and its directory.

    Args:
        uri: The database. A scheme without a driver gets an installed driver: psycopg2, else
            psycopg 3, for PostgreSQL (``postgres://`` too); PyMySQL for MySQL and MariaDB.
        directory: Where a relative SQLite path begins, by default the working directory. The
            parent directory of the file is created.

    Raises:
        ValueError: The URI cannot be parsed, or is ambiguous. The message does not contain the
            URI, which may hold a password.
    """
    text = uri if isinstance(uri, str) else uri.database or ""
    if text != text.strip():
        # A line break at the end would become part of the database's name.
        message = "The database URI begins or ends with a space or a line break. Remove it."
        raise ValueError(message)
    try:
        url = make_url(uri)
    except ArgumentError:
        message = "The database URI cannot be parsed. Write it as dialect://user:password@host/database."
        raise ValueError(message) from None
    url = url.set(drivername=_with_driver(url.drivername))
    if url.get_backend_name() == "sqlite":
        return _in_directory(url, directory)
    if "@" in f"{url.host}{url.database}":
        # p@ss would be read as the password p on the host ss.
        message = "The database URI has an unquoted '@'. In a password write %40, or use a password file."
        raise ValueError(message)
    return url


def read_password(path: str | PathLike[str]) -> str:
    """Return the first line of the file, without the spaces around it and a byte order mark.

    Raises:
        OSError: The file cannot be read.
        ValueError: The file has no password, or is not UTF-8 text.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        message = f"The password file {path} is not UTF-8 text. Save it as UTF-8."
        raise ValueError(message) from None
    password = text.split("\n", 1)[0].strip()
    if not password:
        message = f"The password file {path} has an empty first line. Write the password there."
        raise ValueError(message)
    return password


def _with_driver(name: str) -> str:
    # SQLAlchemy's own choice for a bare scheme is psycopg 3 and mysqlclient; it refuses postgres://.
    if name in {"postgres", "postgresql"}:
        return "postgresql+psycopg2" if find_spec("psycopg2") else "postgresql+psycopg"
    return f"{name}+pymysql" if name in {"mysql", "mariadb"} else name


def _in_directory(url: URL, directory: str | PathLike[str] | None) -> URL:
    if directory is None or url.database is None or not is_file(url) or Path(url.database).is_absolute():
        return url
    path = Path(directory, url.database)
    path.parent.mkdir(parents=True, exist_ok=True)
    return url.set(database=str(path))
