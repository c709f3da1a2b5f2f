"""The part of the plugin that reads which app is tried, before any server is started for it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from testbed.subject import Subject

# The one capability that is the subject's own.
PROMISES = "promises"
SUBJECT: pytest.StashKey[Subject] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of the command line, each also a setting of the configuration file."""
    group = parser.getgroup("testbed")
    group.addoption("--app", metavar="MODULE:FACTORY", help="the app that the battery tries")
    group.addoption(
        "--session", metavar="MODULE:ATTRIBUTE", help="its session, such as app.database:db_session"
    )
    group.addoption(
        "--uri-key", metavar="KEY", help="where the factory finds the URI (default: DATABASE_URI)"
    )
    group.addoption(
        "--uri-env",
        metavar="NAME",
        help="environment variable that gives the URI to an app that reads it on import",
    )
    group.addoption("--promises", action="store_true", help="also check what only this binding promises")
    parser.addini("app", "module:factory of the app that the battery tries", default="")
    parser.addini("uri_key", "where its factory finds the database's URI", default="DATABASE_URI")
    parser.addini("uri_env", "environment variable that the app reads the URI from on import", default="")
    parser.addini(
        "promises", "check what only this repository's binding promises", type="bool", default=False
    )


def subject_options(config: pytest.Config) -> list[str]:
    """What the command line said of the subject, to be said again."""
    given = [(name, config.getoption(name)) for name in ("app", "session", "uri_key", "uri_env")]
    words = [word for name, value in given if value for word in (f"--{name.replace('_', '-')}", value)]
    return [*words, *(["--promises"] if config.getoption("promises") else [])]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuse to try nothing, once and before any check."""
    if any(
        "trial" in getattr(item, "fixturenames", ()) and item.get_closest_marker("check") for item in items
    ):
        subject_of(config)


def option(config: pytest.Config, name: str) -> str:
    """What the command line says, else what the configuration file says."""
    return config.getoption(name) or config.getini(name)  # type: ignore[no-any-return]


def promises(config: pytest.Config) -> bool:
    """Whether the subject opted into the checks of what only this repository's binding promises."""
    return bool(config.getoption("promises") or config.getini("promises"))


def subject_of(config: pytest.Config) -> Subject:
    """The subject that the options name, imported; a usage error where it cannot be tried."""
    from testbed.subject import Subject, SubjectError  # noqa: PLC0415 - for those who use none of this

    if SUBJECT not in config.stash:
        names = option(config, "app"), option(config, "session")
        if not all(names):
            message = (
                "The battery needs to know what to try:"
                " --app module:factory --session module:attribute (or both in the configuration file)."
            )
            raise pytest.UsageError(message)
        subject = Subject(*names, option(config, "uri_key"), option(config, "uri_env"))
        try:
            subject.start("sqlite://")
            subject.load()
        except SubjectError as error:
            raise pytest.UsageError(str(error)) from None
        config.stash[SUBJECT] = subject
    return config.stash[SUBJECT]


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Refuse an app that was named on the command line and cannot be had, before servers start."""
    if session.config.getoption("app"):
        _try_out(subject_of(session.config))


def _try_out(subject: Subject) -> None:
    """Call the factory once on an empty SQLite database, which shows most mistakes at once."""
    from testbed.subject import SubjectError  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as directory:
        uri = f"sqlite:///{Path(directory, 'empty.db')}"
        try:
            subject.start(uri)
            subject.engine(subject.make(uri)).dispose()
        except SubjectError as error:
            raise pytest.UsageError(str(error)) from None
