"""Servers that the environment gives: `TESTBED_<BACKEND>_URI`, and `TESTBED_<BACKEND>_PASSWORD_FILE`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.servers.readiness import ServerError

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

    from flask_sqlalchemy_testbed.backends.base import Backend


def variable(backend: Backend) -> str:
    """The name of the variable that gives a server of that kind."""
    return f"TESTBED_{backend.name.upper()}_URI"


def given_url(backend: Backend) -> tuple[str, URL] | None:
    """The variable's name and the URL in it, driver and password filled in; None when it is not set."""
    name = variable(backend)
    if not (text := os.environ.get(name)):
        return None
    # Most runs are given none, and have something better to begin with.
    from sqlalchemy.engine import make_url  # noqa: PLC0415
    from sqlalchemy.exc import ArgumentError  # noqa: PLC0415

    example = f"{backend.name}://user:password@host/database"
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        # Not the text itself: it may hold a password.
        message = f"{name} is not a database URI. It should look like {example}, with @ / : # ? %-encoded."
        raise ServerError(message) from None
    scheme, _, driver = url.drivername.partition("+")
    if scheme not in backend.schemes or not (url.host or url.query.get("host")):
        found = f"{url.drivername}://{url.host or ''}"
        message = f"{name} begins with {found}, not as that of a {backend.name} server: {example}"
        raise ServerError(message)
    if url.host and url.port is None and backend.recipe is not None:
        url = url.set(port=backend.recipe.port)
    return name, _with_password_file(
        url.set(drivername=url.drivername if driver else backend.drivername), name
    )


def _with_password_file(url: URL, name: str) -> URL:
    file_variable = name.removesuffix("_URI") + "_PASSWORD_FILE"
    if not (path := os.environ.get(file_variable)):
        return url
    try:
        password = Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        message = f"{file_variable} cannot be read: {error.strerror}: {path}"
        raise ServerError(message) from None
    if not password:
        message = f"{file_variable} names an empty file: {path}"
        raise ServerError(message)
    return url.set(password=password)
