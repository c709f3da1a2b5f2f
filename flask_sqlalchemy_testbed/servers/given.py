"""Use servers that environment variables name: `TESTBED_<BACKEND>_URI`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.backends.connection import import_dialect
from flask_sqlalchemy_testbed.servers.readiness import ServerError

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

    from flask_sqlalchemy_testbed.backends.base import Backend


def variable(backend: Backend) -> str:
    """Return the name of the environment variable that gives a server of this backend.

    Args:
        backend: The kind of server.
    """
    return f"TESTBED_{backend.name.upper()}_URI"


def given_url(backend: Backend) -> tuple[str, URL] | None:
    """Return the variable of a given server and its URL; None if it is not set.

    Args:
        backend: The kind of server.

    Returns:
        The name of the variable, and the URL with driver, port and password. The password may come from the
        file that `TESTBED_<BACKEND>_PASSWORD_FILE` names.

    Raises:
        ServerError: The URI or the password file is unusable.
        MissingDriverError: The URI names no driver and none is installed.
    """
    name = variable(backend)
    if not (text := os.environ.get(name)):
        return None
    # A run without the variable starts its containers first: SQLAlchemy is imported meanwhile.
    from sqlalchemy.engine import make_url  # noqa: PLC0415
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError  # noqa: PLC0415

    from flask_sqlalchemy_testbed.redaction import know  # noqa: PLC0415

    example = f"{backend.name}://user:password@host/database"
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        # Without the text, which may contain a password.
        message = f"{name} is not a database URI. Write it as {example}, with @ / : # ? %-encoded."
        raise ServerError(message) from None
    if _has_unquoted_at(text):
        # The parts that SQLAlchemy found may contain some of the password.
        message = f"{name} has an @ that is not quoted. Write @ as %40 in the user's name and password."
        raise ServerError(message)
    scheme, _, driver = url.drivername.partition("+")
    if scheme not in backend.schemes or not (url.host or url.query.get("host")):
        found = f"{url.drivername}://{url.host or ''}"
        message = f"{name} begins with {found}, which names no {backend.name} server. Write it as {example}."
        raise ServerError(message)
    if url.host and url.port is None and backend.recipe is not None:
        url = url.set(port=backend.recipe.port)
    if not driver:
        url = url.set(drivername=backend.drivername)
    try:
        dialect = import_dialect(url)
    except (ImportError, NoSuchModuleError) as error:
        message = f"{name} names a driver that cannot be imported: {error}. Install it or name another."
        raise ServerError(message) from None
    if dialect.is_async:
        message = f"{name} names an asynchronous driver, {driver}. Name another: {backend.drivername}://..."
        raise ServerError(message)
    url = _with_password_file(url, name)
    know(url.password)
    return name, url


def _has_unquoted_at(uri: str) -> bool:
    """Return whether more than one @ stands before the query.

    An @ in a value of the query is plain text.
    """
    _, _, rest = uri.partition("@")
    before, _, query = rest.partition("?")
    return "@" in before or any("@" in word.partition("=")[0] for word in query.split("&"))


def _with_password_file(url: URL, name: str) -> URL:
    file_variable = name.removesuffix("_URI") + "_PASSWORD_FILE"
    if not (path := os.environ.get(file_variable)):
        return url
    try:
        password = Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        message = f"{file_variable} cannot be read: {error.strerror}: {path}. Name a readable file."
        raise ServerError(message) from None
    if not password:
        message = f"{file_variable} names an empty file: {path}. Write the password in its first line."
        raise ServerError(message)
    return url.set(password=password)
