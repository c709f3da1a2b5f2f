"""The part of the plugin that reads which app is tried, before any server is started for it."""

from __future__ import annotations

import contextlib
import secrets
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from flask_sqlalchemy_testbed.plugin import settings, state

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask_sqlalchemy_testbed.subject.subject import Subject

# The capabilities that are the subject's own, and why a check is not applicable to one that lacks them.
PROMISES, SEVERAL_APPS = "promises", "several-apps"
LACKS = {
    PROMISES: "the subject does not promise it",
    SEVERAL_APPS: "the subject is one app, made when its module is imported, and no factory of several",
}
SUBJECT: pytest.StashKey[Subject] = pytest.StashKey()
DRIVERS: pytest.StashKey[dict[str, str]] = pytest.StashKey()
# Of the text that its start-up code wrote.
MOST_LINES = 30
TOLD = ("app", "session", "uri-key", "uri-env")


def pytest_configure(config: pytest.Config) -> None:
    """Reads what can be wrong by itself."""
    from flask_sqlalchemy_testbed.subject.drivers import UnknownDriverError, drivers  # noqa: PLC0415

    try:
        config.stash[DRIVERS] = drivers(settings.setting(config, "driver"))
        settings.seconds(config, "start-timeout")
    except UnknownDriverError as error:
        raise pytest.UsageError(str(error)) from None


def subject_options(config: pytest.Config) -> list[str]:
    """What the command line said of the subject, to be said again."""
    return settings.words({name: settings.given(config, name) for name in (*TOLD, "driver", "promises")})


def drivers_of(config: pytest.Config) -> dict[str, str]:
    """By backend the driver that the app is to use."""
    return config.stash[DRIVERS]


def promises(config: pytest.Config) -> bool:
    """Whether the subject opted into the checks of what only this repository's binding promises."""
    return bool(settings.setting(config, "promises"))


def facts(config: pytest.Config) -> dict[str, str]:
    """What is tried, as told or found, for a report."""
    subject = config.stash.get(SUBJECT, None)
    if subject is None:
        return {name.replace("-", "_"): settings.setting(config, name) for name in TOLD}
    found = {
        "app": subject.app_path,
        "session": subject.session_path,
        "uri_key": subject.uri_key,
        "uri_env": subject.uri_env,
        "found": "; ".join(subject.notes),
        "drivers": ", ".join(f"{backend}={driver}" for backend, driver in subject.drivers.items()),
    }
    return {name: value for name, value in found.items() if value or name.replace("_", "-") in TOLD}


def lacking(config: pytest.Config, needed: set[str]) -> str:
    """Why the subject lacks one of these capabilities; nothing where it lacks none."""
    if PROMISES in needed and not promises(config):
        return LACKS[PROMISES]
    if SEVERAL_APPS in needed and SUBJECT in config.stash and not config.stash[SUBJECT].makes_several_apps:
        return LACKS[SEVERAL_APPS]
    return ""


def subject_of(config: pytest.Config) -> Subject:
    """The subject that the options name or that is found; a usage error where it cannot be tried."""
    found = _find(config, servers=True)
    assert found is not None  # noqa: S101 - for the type checker
    return found


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Refuse an app that cannot be had before servers start, where the battery is to be run for sure."""
    config = session.config
    if settings.given(config, "app") or any(
        name in argument
        for argument in config.args
        for name in ("flask_sqlalchemy_testbed.battery", "flask_sqlalchemy_testbed/battery")
    ):
        _find(config, servers=False)


def pytest_report_header(config: pytest.Config) -> list[str]:
    """What was found, and how."""
    if SUBJECT not in config.stash:
        return []
    subject = config.stash[SUBJECT]
    lines = [f"app: {'; '.join([subject.app_path, *subject.notes])}"]
    if subject.drivers:
        lines.append(f"drivers: {facts(config)['drivers']}")
    return lines


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuse to try nothing, once and before any check."""
    if any(
        "trial" in getattr(item, "fixturenames", ()) and item.get_closest_marker("testbed_check")
        for item in items
    ):
        try:
            subject_of(config)
        except pytest.UsageError:
            # None of them has been tried, nor is to be told of.
            items.clear()
            raise


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """A worker of pytest-xdist is told what was found: it need not look again."""
    if SUBJECT in node.config.stash:
        node.workerinput["testbed_subject"] = node.config.stash[SUBJECT].told()


def _handed_over(config: pytest.Config) -> Subject | None:
    from flask_sqlalchemy_testbed.subject.subject import Subject  # noqa: PLC0415

    told = getattr(config, "workerinput", {}).get("testbed_subject")
    return Subject.of(told) if told else None


def _find(config: pytest.Config, *, servers: bool) -> Subject | None:
    """None for an app that does not start on a file, and need not, while there are no servers yet."""
    from flask_sqlalchemy_testbed.subject.errors import SubjectError  # noqa: PLC0415 - for those who use none of this

    if SUBJECT not in config.stash:
        try:
            found = _handed_over(config) or _on_a_file(config)
            if found is None and servers:
                found = _on_a_server(config)
        except SubjectError as error:
            raise pytest.UsageError(str(error)) from None
        if found is None:
            return None
        config.stash[SUBJECT] = found
        config.add_cleanup(found.end)
    return config.stash[SUBJECT]


def _uses_files(config: pytest.Config) -> bool:
    return any("embedded" in backend.capabilities for backend in config.stash[state.BACKENDS])


def _on_a_file(config: pytest.Config) -> Subject | None:
    """Tried on an empty SQLite database, which shows most mistakes at once."""
    from flask_sqlalchemy_testbed.subject.errors import FruitlessError  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as directory:
        try:
            return _resolved(config, f"sqlite:///{Path(directory, f'testbed_{secrets.token_hex(6)}.db')}")
        except FruitlessError:
            if _uses_files(config):
                raise
            return None


def _on_a_server(config: pytest.Config) -> Subject:
    """Tried on an empty database of the first server."""
    run = state.run_of(config)
    isolation = run.isolation(run.server(config.stash[state.BACKENDS][0]), "start")
    isolation.clean()
    return _resolved(config, isolation.database.uri)


def _resolved(config: pytest.Config, uri: str) -> Subject:
    from flask_sqlalchemy_testbed.subject.errors import SubjectError  # noqa: PLC0415
    from flask_sqlalchemy_testbed.subject.resolve import resolve  # noqa: PLC0415
    from flask_sqlalchemy_testbed.subject.subject import Subject  # noqa: PLC0415
    from flask_sqlalchemy_testbed.subject.time_limit import TookTooLongError, within  # noqa: PLC0415

    subject = Subject(*(settings.setting(config, name) for name in TOLD), drivers=drivers_of(config))
    seconds = settings.seconds(config, "start-timeout")
    said: list[str] = []

    def give_up(stack: str) -> None:
        sys.__stderr__.write(f"{too_long}{stack}\n")  # type: ignore[union-attr]

    too_long = f"{subject} was not made within {seconds:g} s (--testbed-start-timeout SECONDS); it was in:\n"
    try:
        with _captured(config, said), within(seconds, last_resort=give_up):
            resolve(subject, uri)
    except TookTooLongError as error:
        message = f"{too_long}{error.stack}{_what_it_said(said)}"
        raise SubjectError(message) from None
    except SubjectError as error:
        message = f"{error}{_what_it_said(said)}"
        raise type(error)(message) from error
    return subject


@contextlib.contextmanager
def _captured(config: pytest.Config, said: list[str]) -> Iterator[None]:
    """What it writes is in `said`, as pytest captures what tests write; with -s it is shown at once."""
    manager: Any = config.pluginmanager.getplugin("capturemanager")
    manager.resume_global_capture()
    try:
        yield
    finally:
        manager.suspend_global_capture()
        said += [text for text in manager.read_global_capture() if text]


def _what_it_said(said: list[str]) -> str:
    from flask_sqlalchemy_testbed.redaction import redact  # noqa: PLC0415

    lines = redact("".join(said)).strip().splitlines()[-MOST_LINES:]
    return "\n".join(["\nIt wrote:", *(f"  {line}" for line in lines)]) if lines else ""
