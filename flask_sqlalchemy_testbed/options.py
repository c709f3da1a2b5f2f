"""The table of options, which pytest and the commands read.

In pytest each is `--testbed-NAME` and, if it has a default, the configuration key `testbed_NAME`. The
commands take the options of the battery as `--NAME`.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Option:
    """One option of the command line."""

    name: str
    help: str
    metavar: str = ""
    """Name of the value in the help; empty if the option takes no value."""
    repeatable: bool = False
    default: str | bool | tuple[str, ...] | None = None
    """Default of the configuration key; None if there is no such key."""
    own_tests: bool = False
    """Whether it concerns the user's own tests alone: the commands do not take it."""

    @property
    def key(self) -> str:
        """Return the name in pytest's configuration file."""
        return f"testbed_{self.name.replace('-', '_')}"

    @property
    def flag(self) -> str:
        """Return the name on pytest's command line."""
        return f"--testbed-{self.name}"


_ALL = (
    Option(
        "backend",
        "run on this backend; repeatable, or several with commas between",
        "NAME",
        repeatable=True,
        default=("sqlite",),
    ),
    Option(
        "app",
        "the app that the battery tries: a factory, an app, a module or a file with one"
        " (default: the app that flask finds here)",
        "MODULE:FACTORY",
        default="",
    ),
    Option(
        "session",
        "the session of the app, such as app.database:db_session, or a callable that returns it"
        " (default: the session of an extension, or the only scoped_session)",
        "MODULE:ATTRIBUTE",
        default="",
    ),
    Option(
        "metadata",
        "the metadata of the app's tables, such as app.models:Base.metadata (the battery's default: that of"
        " an extension, or of the app's modules); if it is named, pytest creates the tables for your own"
        " tests",
        "MODULE:ATTRIBUTE",
        default="",
    ),
    Option(
        "uri-key",
        "the configuration key that holds the URI, such as SQLALCHEMY_ENGINES.default",
        "KEY",
        default="",
    ),
    Option("uri-env", "the environment variable from which the app reads the URI", "NAME", default=""),
    Option(
        "config",
        "a configuration file (Python, JSON or TOML) with the other values that the app needs",
        "FILE",
        default="",
    ),
    Option(
        "driver",
        "have the app use this driver, such as postgresql=psycopg; repeatable",
        "BACKEND=DRIVER",
        repeatable=True,
        default=(),
    ),
    Option(
        "pooler",
        "put this pooler between the app and its throwaway server: pgbouncer, for postgresql",
        "NAME",
        default="",
    ),
    Option(
        "allow-file",
        "let the app open this SQLite file, which the run did not create, or create it; repeatable",
        "PATH",
        repeatable=True,
        default=(),
    ),
    Option(
        "as-user",
        "log the battery's requests in with this function of a module or a file, which gets the app and a"
        " test client",
        "MODULE:FUNCTION",
        default="",
    ),
    Option("start-timeout", "fail when making the app takes longer (default: 30)", "SECONDS", default="30"),
    Option("check", "run only this check of the battery; repeatable", "ID", repeatable=True),
    Option("exclude", "leave out this check of the battery; repeatable", "ID", repeatable=True, default=()),
    Option(
        "check-timeout", "fail a check that takes longer (default: 30; 0: no limit)", "SECONDS", default="30"
    ),
    Option(
        "timeout",
        "fail a test of your own that takes longer (default: no limit)",
        "SECONDS",
        default="0",
        own_tests=True,
    ),
    Option("promises", "also check the promises of this project's own binding", default=False),
    Option(
        "failover",
        "also check a failover from a throwaway primary to its standby (faults.failover)",
        default=False,
    ),
    Option(
        "baseline",
        "fail only on checks that are not listed in this file; the first run writes it",
        "FILE",
        default="",
    ),
    Option("matrix", "write the outcome of each check on each backend there, as JSON", "FILE"),
    Option("sarif", "write the failures there as SARIF 2.1.0, for code scanning", "FILE"),
    Option(
        "report",
        "write a report there, with the evidence for each check"
        " (the commands: testbed-report, or none with --check; '' writes none)",
        "DIR",
    ),
    Option(
        "keep-failed",
        "stop at the first failure, leave its server and its rows, and print how to connect",
    ),
    Option(
        "linger",
        "leave throwaway servers for the next run, until no client was connected for so many seconds, or"
        " forever (default: 0; always 0 if the variable CI is set);"
        " `python -m flask_sqlalchemy_testbed.servers list` shows them, and `remove` in place of `list` ends"
        " them",
        "TIME",
        default="0",
    ),
    Option(
        "schema-command",
        "create the tables for your own tests with this command, such as 'flask --app shop db upgrade';"
        " the URI is in the environment variables DATABASE_URI, DATABASE_URL and SQLALCHEMY_DATABASE_URI, or"
        " in that of --testbed-uri-env",
        "COMMAND",
        default="",
        own_tests=True,
    ),
)
OPTIONS: Mapping[str, Option] = MappingProxyType({option.name: option for option in _ALL})

_PYTEST, _COMMAND = "--testbed-", "--"
_prefix = _PYTEST


def flag(name: str) -> str:
    """Return an option as the user writes it, for messages.

    That is the name with the prefix in pytest, and the short name in the commands.

    Args:
        name: a key of `OPTIONS`.
    """
    return f"{_prefix}{OPTIONS[name].name}"


def use_short_flags() -> None:
    """Have `flag` return short names from now on in this process: a command is running."""
    global _prefix  # noqa: PLW0603 - a process runs either a command or pytest
    _prefix = _COMMAND


def in_command() -> bool:
    """Return whether a command is running, not pytest by itself."""
    return _prefix == _COMMAND


def words(values: Mapping[str, Any]) -> list[str]:
    """Return options as words of the command line.

    They have short names while a command is running, else pytest's names.

    Args:
        values: by the names of options; None and False are left out.
    """
    found: list[str] = []
    for name, value in values.items():
        if value is True:
            found.append(flag(name))
        elif isinstance(value, (list, tuple)):
            found += [word for one in value for word in (flag(name), str(one))]
        elif value is not None and value is not False:
            found += [flag(name), str(value)]
    return found
