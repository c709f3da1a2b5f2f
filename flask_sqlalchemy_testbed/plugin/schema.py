"""Create the tables that tests find in their database: from a metadata or with a command."""

from __future__ import annotations

import os
import shlex
import sys
from typing import TYPE_CHECKING

import pytest

from flask_sqlalchemy_testbed.options import flag
from flask_sqlalchemy_testbed.plugin import settings
from flask_sqlalchemy_testbed.plugin.app_option import drivers_of, runs_the_battery
from flask_sqlalchemy_testbed.subject.raised import NO_TABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

# Seconds that a command may take, and how many lines of its output an error shows.
WITHIN = 300
MOST_LINES = 20
# The environment variables with the URI, unless the user names one.
VARIABLES = ("DATABASE_URI", "DATABASE_URL", "SQLALCHEMY_DATABASE_URI")


# An attribute of a report, which pytest-xdist passes on to the controller: the test lacks a table.
MARK = "testbed_lacks_a_table"
# The errors of the fixture `testbed_schema`.
_ERRORS: pytest.StashKey[list[BaseException]] = pytest.StashKey()


class SchemaError(RuntimeError):
    """The tables could not be created. The message says why and contains no password."""


def pytest_configure(config: pytest.Config) -> None:
    """Refuse both options at once, and values that cannot be a name or a command."""
    metadata, command = settings.setting(config, "metadata"), settings.setting(config, "schema-command")
    if metadata and command:
        message = (
            f"Either {flag('metadata')} or {flag('schema-command')} makes the tables, not both. Remove one."
        )
        raise pytest.UsageError(message)
    if metadata and not all(metadata.partition(":")):
        message = (
            f"{flag('metadata')} {metadata!r} is not of the form module:attribute,"
            " such as app.models:Base.metadata."
        )
        raise pytest.UsageError(message)
    try:
        words = shlex.split(command)
    except ValueError as error:
        message = f"{flag('schema-command')} {command!r} cannot be read: {error}."
        raise pytest.UsageError(message) from None
    if command and not words:
        message = f"{flag('schema-command')} {command!r} names no command. Name one."
        raise pytest.UsageError(message)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Refuse a metadata of the command line that cannot be imported, before servers start.

    For the battery, it is imported with the app.
    """
    metadata = settings.given(session.config, "metadata")
    if metadata and not runs_the_battery(session.config):
        from flask_sqlalchemy_testbed.subject.errors import SubjectError  # noqa: PLC0415 - on use
        from flask_sqlalchemy_testbed.subject.metadata import find_metadata  # noqa: PLC0415 - on use

        try:
            find_metadata(metadata)
        except SubjectError as error:
            raise pytest.UsageError(str(error)) from None


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[object], request: pytest.FixtureRequest
) -> Generator[None, object, object]:
    """Note an error of the fixture that creates the tables; pytest raises it again for each test."""
    try:
        return (yield)
    except (Exception, pytest.fail.Exception) as error:
        if fixturedef.argname == "testbed_schema":
            request.config.stash.setdefault(_ERRORS, []).append(error)
        raise


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Mark the report of a user's test that lacks a table, if no option names tables."""
    report = yield
    of_user = "testbed_database" in getattr(item, "fixturenames", ()) and not runs_the_battery(item.config)
    if report.failed and of_user and not _names_tables(item.config) and NO_TABLE.search(report.longreprtext):
        setattr(report, MARK, True)
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say once which options create tables, if a test lacks one."""
    reports = [*terminalreporter.getreports("failed"), *terminalreporter.getreports("error")]
    if any(hasattr(report, MARK) for report in reports):
        terminalreporter.write_line(
            f"A table is missing, and no option names tables. {flag('metadata')} MODULE:Base.metadata or"
            f" {flag('schema-command')} creates those of the app for each test."
        )


def _names_tables(config: pytest.Config) -> bool:
    return bool(settings.setting(config, "metadata") or settings.setting(config, "schema-command"))


def schema_problem(config: pytest.Config, error: BaseException) -> str:
    """Return why the tables could not be created; an empty string if the error has another cause.

    Args:
        config: pytest's configuration.
        error: the error that a test met in its setup.
    """
    from flask_sqlalchemy_testbed.isolation import SchemaFunctionError  # noqa: PLC0415 - on use
    from flask_sqlalchemy_testbed.leaks import callers  # noqa: PLC0415 - imports SQLAlchemy
    from flask_sqlalchemy_testbed.redaction import redact  # noqa: PLC0415 - on use
    from flask_sqlalchemy_testbed.subject.errors import SubjectError  # noqa: PLC0415 - on use

    for one in causes(error):
        if isinstance(one, (SchemaError, SubjectError)):
            return str(one)
    of_function = (one.__cause__ for one in causes(error) if isinstance(one, SchemaFunctionError))
    own = error if error in config.stash.get(_ERRORS, []) else next(of_function, None)
    if own is None:
        return ""
    text = f"{type(own).__name__}: {own}".strip().splitlines()[0].rstrip(".")
    frames = [f"\n  {line}" for line in callers.lines(callers.of_error(own))]
    message = f"The fixture testbed_schema failed: {text}. Correct it.{' It was in:' * bool(frames)}"
    return redact("".join([message, *frames]))


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and the errors that it was raised from."""
    while error is not None:
        yield error
        error = error.__cause__


def pytest_report_header(config: pytest.Config) -> str | None:
    """Say that the connections of a command are not refused, if that is so."""
    if not (command := settings.setting(config, "schema-command")):
        return None
    from flask_sqlalchemy_testbed.subject.guarded_command import is_guarded  # noqa: PLC0415 - on use

    if is_guarded(shlex.split(command)):
        return None
    option = f"{flag('schema-command')} {command!r}"
    return f"unguarded: {option} is no Python script of this environment and can reach any database"


def schema_of(config: pytest.Config) -> Callable[[str], None] | None:
    """Return the function that creates the tables in the empty database of a URI.

    Args:
        config: pytest's configuration.

    Returns:
        None if no option names tables.
    """
    if metadata := settings.setting(config, "metadata"):
        return create_all(metadata)
    if command := settings.setting(config, "schema-command"):
        name, app = settings.setting(config, "uri-env"), settings.setting(config, "app")
        extra = {"FLASK_APP": app} if app and not os.environ.get("FLASK_APP") else {}
        names = [name] if name else VARIABLES
        return Command(command, names, extra, drivers_of(config))
    return None


def create_all(metadata: str) -> Callable[[str], None]:
    """Return a function that creates the tables of a metadata at a URI."""

    def create(uri: str) -> None:
        from sqlalchemy import NullPool, create_engine  # noqa: PLC0415
        from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415

        from flask_sqlalchemy_testbed.redaction import redact  # noqa: PLC0415 - on use
        from flask_sqlalchemy_testbed.subject.metadata import find_tables  # noqa: PLC0415 - on use

        engine = create_engine(uri, poolclass=NullPool)
        try:
            find_tables(metadata).create_all(engine)
        except SQLAlchemyError as error:
            reason = redact(str(error).strip().splitlines()[0])
            message = (
                f"{flag('metadata')} {metadata!r}: its tables cannot be created on {engine.dialect.name}:"
                f" {reason}. Correct the first table or column that it names."
            )
            raise SchemaError(message) from error
        finally:
            engine.dispose()

    return create


class Command:
    """Creates the tables with a command, which runs once for each empty database.

    The command finds the URI in its environment. A script of this Python, such as `flask` or `alembic`, can
    connect only to databases of the run.
    """

    def __init__(
        self, command: str, names: Sequence[str], environment: Mapping[str, str], drivers: Mapping[str, str]
    ) -> None:
        self._option = f"{flag('schema-command')} {command!r}"
        self._words = [
            sys.executable,
            "-m",
            "flask_sqlalchemy_testbed.subject.guarded_command",
            *shlex.split(command),
        ]
        self._names = names
        self._environment = environment
        self._drivers = drivers

    def __call__(self, uri: str) -> None:
        """Run the command; raise SchemaError if it fails or creates no table."""
        self._check(uri, self._run(uri))

    def _run(self, uri: str) -> str:
        """Return the output without passwords."""
        import subprocess  # noqa: PLC0415 - on use

        from flask_sqlalchemy_testbed.redaction import redact  # noqa: PLC0415 - on use
        from flask_sqlalchemy_testbed.subject import guard  # noqa: PLC0415 - on use
        from flask_sqlalchemy_testbed.subject.drivers import with_driver  # noqa: PLC0415 - on use

        given = dict.fromkeys(self._names, with_driver(uri, self._drivers))
        try:
            ran = subprocess.run(
                self._words,
                env={**os.environ, **guard.environment(), **self._environment, **given},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=WITHIN,
                check=False,
            )
        except subprocess.TimeoutExpired:
            message = f"{self._option} did not end within {WITHIN} s."
            raise SchemaError(message) from None
        lines = redact(ran.stdout).strip().splitlines()[-MOST_LINES:]
        wrote = "".join(f"\n  {line}" for line in lines) or " nothing."
        if ran.returncode:
            message = f"{self._option} ended with status {ran.returncode}; it wrote:{wrote}"
            raise SchemaError(message)
        return wrote

    def _check(self, uri: str, wrote: str) -> None:
        """Refuse a command that has created no table here: it has changed another database."""
        from sqlalchemy import NullPool, create_engine, inspect  # noqa: PLC0415

        engine = create_engine(uri, poolclass=NullPool)
        with engine.connect() as connection:
            tables = inspect(connection).get_table_names()
        engine.dispose()
        if not tables:
            message = (
                f"{self._option} made no table in the database whose URI was in {' and '.join(self._names)}."
                f" If it reads another variable, name that one with {flag('uri-env')}; it wrote:{wrote}"
            )
            raise SchemaError(message)
