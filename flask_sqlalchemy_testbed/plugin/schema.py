"""The tables that are there before a test: of a metadata, or of a command that makes them."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from flask_sqlalchemy_testbed.plugin import settings
from flask_sqlalchemy_testbed.plugin.app_option import drivers_of
from flask_sqlalchemy_testbed.subject.drivers import with_driver

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy import MetaData

# Seconds that a command may take, and how much of what it wrote is told.
WITHIN = 300
MOST_LINES = 20
# Where a command looks for the URI, if nobody says where.
VARIABLES = ("DATABASE_URI", "DATABASE_URL", "SQLALCHEMY_DATABASE_URI")


class SchemaError(RuntimeError):
    """The tables could not be made; the message says why, and without a password."""


def pytest_configure(config: pytest.Config) -> None:
    """Refuses two answers to one question, and a name that can name nothing."""
    metadata, command = settings.setting(config, "metadata"), settings.setting(config, "schema-command")
    if metadata and command:
        message = "Either --testbed-metadata or --testbed-schema-command makes the tables, not both."
        raise pytest.UsageError(message)
    if metadata and not all(metadata.partition(":")):
        message = (
            f"--testbed-metadata {metadata!r} is not of the form module:attribute,"
            " such as app.models:Base.metadata."
        )
        raise pytest.UsageError(message)
    try:
        shlex.split(command)
    except ValueError as error:
        message = f"--testbed-schema-command {command!r} cannot be read: {error}."
        raise pytest.UsageError(message) from None


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Refuse a metadata that was named on the command line and cannot be had, before servers start."""
    if metadata := settings.given(session.config, "metadata"):
        from flask_sqlalchemy_testbed.subject.errors import SubjectError  # noqa: PLC0415 - for those who use none of this

        try:
            _metadata(metadata)
        except (SubjectError, SchemaError) as error:
            raise pytest.UsageError(str(error)) from None


def schema_of(config: pytest.Config) -> Callable[[str], None] | None:
    """What makes the tables in the empty database of a URI; None where nothing is to be made."""
    if metadata := settings.setting(config, "metadata"):
        return create_all(metadata)
    if command := settings.setting(config, "schema-command"):
        name, app = settings.setting(config, "uri-env"), settings.setting(config, "app")
        extra = {"FLASK_APP": app} if app and not os.environ.get("FLASK_APP") else {}
        names = [name] if name else VARIABLES
        return Command(command, names, extra, drivers_of(config))
    return None


def create_all(metadata: str) -> Callable[[str], None]:
    """What makes the tables of the metadata that `module:attribute.path` names in the database of a URI."""

    def create(uri: str) -> None:
        from sqlalchemy import NullPool, create_engine  # noqa: PLC0415

        engine = create_engine(uri, poolclass=NullPool)
        _metadata(metadata).create_all(engine)
        engine.dispose()

    return create


def _metadata(name: str) -> MetaData:
    from sqlalchemy import MetaData  # noqa: PLC0415

    from flask_sqlalchemy_testbed.subject.discovery import find  # noqa: PLC0415

    found = find(name, "--testbed-metadata")
    if not isinstance(found, MetaData):
        message = f"--testbed-metadata {name!r} is no MetaData but a {type(found).__name__}."
        raise SchemaError(message)
    return found


class Command:
    """Makes the tables by running a command, once for a database that is empty.

    The URI is in its environment. Where it is a script of this Python, such as `flask` or `alembic`, it may
    connect to databases of the run only.
    """

    def __init__(
        self, command: str, names: Sequence[str], environment: Mapping[str, str], drivers: Mapping[str, str]
    ) -> None:
        self._told = f"--testbed-schema-command {command!r}"
        self._words = [
            sys.executable,
            "-m",
            "flask_sqlalchemy_testbed.subject.guarded_command",
            *shlex.split(command),
        ]
        self._names = names
        self._environment = environment
        self._drivers = drivers
        self._error: SchemaError | None = None

    def __call__(self, uri: str) -> None:
        """Run it; once it has failed it is not run again."""
        if self._error is None:
            try:
                self._check(uri, self._run(uri))
            except SchemaError as error:
                self._error = error
        if self._error is not None:
            raise self._error

    def _run(self, uri: str) -> str:
        """What it wrote, without passwords."""
        from flask_sqlalchemy_testbed.redaction import redact  # noqa: PLC0415

        given = dict.fromkeys(self._names, with_driver(uri, self._drivers))
        try:
            ran = subprocess.run(
                self._words,
                env={**os.environ, **self._environment, **given},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=WITHIN,
                check=False,
            )
        except subprocess.TimeoutExpired:
            message = f"{self._told} had not ended after {WITHIN} s."
            raise SchemaError(message) from None
        lines = redact(ran.stdout).strip().splitlines()[-MOST_LINES:]
        wrote = "".join(f"\n  {line}" for line in lines) or " nothing."
        if ran.returncode:
            message = f"{self._told} ended with status {ran.returncode}; it wrote:{wrote}"
            raise SchemaError(message)
        return wrote

    def _check(self, uri: str, wrote: str) -> None:
        """A command that made nothing here has made it elsewhere."""
        from sqlalchemy import NullPool, create_engine, inspect  # noqa: PLC0415

        engine = create_engine(uri, poolclass=NullPool)
        with engine.connect() as connection:
            tables = inspect(connection).get_table_names()
        engine.dispose()
        if not tables:
            message = (
                f"{self._told} made no table in the database whose URI was in {' and '.join(self._names)}."
                f" If it reads another variable, name that one with --testbed-uri-env; it wrote:{wrote}"
            )
            raise SchemaError(message)
