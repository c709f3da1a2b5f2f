"""Read which app the battery tests, and find out how to make the app before any check."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from flask_sqlalchemy_testbed.backends.base import new_name
from flask_sqlalchemy_testbed.checks.definition import PROMISES
from flask_sqlalchemy_testbed.options import flag
from flask_sqlalchemy_testbed.plugin import containment, settings, state
from flask_sqlalchemy_testbed.plugin.app_start import resolve_app

if TYPE_CHECKING:
    from flask_sqlalchemy_testbed.backends.base import Backend
    from flask_sqlalchemy_testbed.subject.app import AppMaker
    from flask_sqlalchemy_testbed.subject.places import Places
    from flask_sqlalchemy_testbed.subject.resolve import AppOptions
    from flask_sqlalchemy_testbed.subject.subject import Subject

# The capabilities of an app and of its environment, and why a check does not apply without them.
SEVERAL_APPS = "several-apps"
PACKAGES = ("gunicorn", "gevent")
LACKS = {
    SEVERAL_APPS: "one process can make one app at a time",
    **{package: f"{package} is not installed: install it if your app runs in it" for package in PACKAGES},
}
# How apps are made of which one process cannot make several; by the values of `Apps`.
MAKING = {
    "one at a time": "one at a time; its modules are imported again for each",
    "one per process": "one per process, so each check runs in a process of its own",
}
APP_MAKER: pytest.StashKey[AppMaker] = pytest.StashKey()
PLACES: pytest.StashKey[Places] = pytest.StashKey()
_ERRORS: pytest.StashKey[dict[str, Exception]] = pytest.StashKey()
"""Why the app could not be made, by backend."""
WORKERINPUT = "testbed_subject"
OPTIONS_OF_APP = ("app", "session", "uri-key", "uri-env", "config")


def pytest_configure(config: pytest.Config) -> None:
    """Refuse values that are wrong whatever the app is."""
    config.stash[state.DRIVERS] = {}
    name = settings.setting(config, "uri-env")
    if "=" in name or "\0" in name:
        message = (
            f"{flag('uri-env')} {name!r} cannot be the name of an environment variable. Give the name alone."
        )
        raise pytest.UsageError(message)
    if chosen := settings.setting(config, "driver"):
        from flask_sqlalchemy_testbed.subject.drivers import UnknownDriverError, drivers  # noqa: PLC0415 - on use

        try:
            config.stash[state.DRIVERS] = drivers(chosen)
        except UnknownDriverError as error:
            raise pytest.UsageError(str(error)) from None


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Refuse an app that cannot be tested before servers start.

    A run of the user's own tests may need no app.
    """
    if runs_the_battery(session.config):
        _find(session.config, servers=False)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(config: pytest.Config) -> None:
    """Resolve an app that needs a server before the workers start.

    Each worker would repeat it.
    """
    if runs_the_battery(config):
        _find(config, servers=True)


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Show the app and the findings about it."""
    if state.RUN in config.stash and runs_the_battery(config):
        _find(config, servers=True)  # The servers of the run have been started.
    if APP_MAKER not in config.stash:
        return []
    subject = config.stash[APP_MAKER].subject
    lines = [f"app: {'; '.join([subject.app_path, *subject.notes])}"]
    if subject.why_not_several:
        lines.append(f"apps: {facts(config)['apps']}")
    if subject.drivers:
        lines.append(f"drivers: {facts(config)['drivers']}")
    from flask_sqlalchemy_testbed.redaction import redact  # noqa: PLC0415 - on use

    return [redact(line) for line in lines]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuse an app that cannot be tested: once, before any check."""
    if any(
        {"trial", "maker"} & set(getattr(item, "fixturenames", ()))
        and item.get_closest_marker("testbed_check")
        for item in items
    ):
        try:
            app_maker(config)
        except pytest.UsageError:
            items.clear()  # No check has run, so reports must list none.
            raise


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Send the findings to a worker of pytest-xdist, which need not repeat the calls."""
    if APP_MAKER in node.config.stash:
        node.workerinput[WORKERINPUT] = node.config.stash[APP_MAKER].subject.as_dict()


def app_maker(config: pytest.Config) -> AppMaker:
    """Return the object that makes the apps of this process; the run closes it.

    Args:
        config: pytest's configuration.

    Raises:
        pytest.UsageError: there is no app, or it cannot be tried.
    """
    found = _find(config, servers=True)
    assert found is not None  # noqa: S101 - for the type checker
    return found


def drivers_of(config: pytest.Config) -> dict[str, str]:
    """Return the driver that the app is to use, by backend."""
    return config.stash[state.DRIVERS]


def promises(config: pytest.Config) -> bool:
    """Return whether the checks of this project's own binding are selected."""
    named = settings.given(config, "check") or ()
    return bool(settings.setting(config, "promises")) or any(one.startswith(f"{PROMISES}.") for one in named)


def facts(config: pytest.Config) -> dict[str, str]:
    """Return the facts about the app for a report: its name, and how it was found."""
    if APP_MAKER not in config.stash:
        return {name.replace("-", "_"): settings.setting(config, name) for name in OPTIONS_OF_APP}
    subject = config.stash[APP_MAKER].subject
    optional = {
        "config": subject.config,
        "apps": f"{MAKING[subject.apps]} ({subject.why_not_several})" if subject.why_not_several else "",
        "found": "; ".join(subject.notes),
        "drivers": ", ".join(f"{backend}={driver}" for backend, driver in subject.drivers.items()),
    }
    return {
        "app": subject.app_path,
        "session": subject.session_path,
        "uri_key": subject.uri_key,
        "uri_env": subject.uri_env,
        **{name: text for name, text in optional.items() if text},
    }


def places_of(config: pytest.Config) -> dict[str, str]:
    """Return where the app makes its engine, its session and itself, as far as that is known.

    Args:
        config: pytest's configuration.
    """
    if APP_MAKER not in config.stash:
        return {}
    if PLACES not in config.stash:
        from flask_sqlalchemy_testbed.subject.places import places  # noqa: PLC0415 - on use

        config.stash[PLACES] = places(config.stash[APP_MAKER].subject)
    return config.stash[PLACES].as_dict()


def lacking(config: pytest.Config, needed: set[str]) -> str:
    """Return why the app or its environment lacks a needed capability; empty if it lacks none."""
    for package in PACKAGES:
        if package in needed and find_spec(package) is None:
            return LACKS[package]
    if SEVERAL_APPS in needed and APP_MAKER in config.stash:
        return config.stash[APP_MAKER].subject.why_not_several
    return ""


def runs_the_battery(config: pytest.Config) -> bool:
    """Return whether the run may contain checks, so that the app is made before any test."""
    return bool(settings.given(config, "app")) or any(map(containment.names_battery, config.args))


def _find(config: pytest.Config, *, servers: bool) -> AppMaker | None:
    """Return None for an app that may start on a server, as long as no server may be started."""
    from flask_sqlalchemy_testbed.servers.readiness import ServerError  # noqa: PLC0415 - slow; not for every run
    from flask_sqlalchemy_testbed.subject.app import AppMaker  # noqa: PLC0415 - the same
    from flask_sqlalchemy_testbed.subject.errors import SubjectError  # noqa: PLC0415 - the same

    if APP_MAKER not in config.stash:
        containment.start(config)
        try:
            subject = _from_controller(config) or _resolve(config, servers=servers)
        except SubjectError as error:
            raise pytest.UsageError(str(error)) from None
        except ServerError as error:
            raise pytest.UsageError(*str(error).splitlines()) from None
        if subject is None:
            return None
        _check_as_user(config)
        containment.found(config)
        config.stash[APP_MAKER] = AppMaker(subject)
        config.add_cleanup(config.stash[APP_MAKER].close)
    return config.stash[APP_MAKER]


def _check_as_user(config: pytest.Config) -> None:
    """Refuse a function that cannot exist; the checks import it with the app that they use."""
    from flask_sqlalchemy_testbed.subject.discovery import check_name  # noqa: PLC0415 - on use
    from flask_sqlalchemy_testbed.subject.errors import SubjectError  # noqa: PLC0415 - on use

    if path := settings.setting(config, "as-user"):
        try:
            check_name(path, flag("as-user"))
        except SubjectError as error:
            raise pytest.UsageError(str(error)) from None


def _from_controller(config: pytest.Config) -> Subject | None:
    from flask_sqlalchemy_testbed.subject.subject import Subject  # noqa: PLC0415 - slow to import

    values = getattr(config, "workerinput", {}).get(WORKERINPUT)
    return Subject.from_dict(values) if values else None


def _resolve(config: pytest.Config, *, servers: bool) -> Subject | None:
    """Make the app on the first of the requested backends that it works on, and on no other backend.

    Return None if it may work on a server, and no server may be started.
    """
    from flask_sqlalchemy_testbed.servers.readiness import ServerError  # noqa: PLC0415 - on use
    from flask_sqlalchemy_testbed.subject.errors import NoWorkingFactoryCallError  # noqa: PLC0415 - on use

    errors = config.stash.setdefault(_ERRORS, {})
    for backend in config.stash[state.BACKENDS]:
        is_embedded = "embedded" in backend.capabilities
        if backend.name in errors:  # The app was tried there before any server.
            continue
        if not is_embedded and not servers:
            return None
        try:
            return _resolve_on_a_file(config) if is_embedded else _resolve_on_a_server(config, backend)
        except (NoWorkingFactoryCallError, ServerError) as error:
            errors[backend.name] = error
    of_app = [error for error in errors.values() if isinstance(error, NoWorkingFactoryCallError)]
    raise of_app[0] if of_app else ServerError("\n".join(map(str, errors.values())))


def _resolve_on_a_file(config: pytest.Config) -> Subject:
    """Try two empty SQLite databases, which shows most mistakes at once."""
    import tempfile  # noqa: PLC0415 - on use

    from flask_sqlalchemy_testbed.subject.guard import allow_file  # noqa: PLC0415 - on use

    with tempfile.TemporaryDirectory() as directory:
        files = [Path(directory, f"{new_name()}.db") for _ in range(2)]
        for file in files:
            allow_file(file)
        return resolve_app(config, _app_options(config), *(f"sqlite:///{file}" for file in files))


def _resolve_on_a_server(config: pytest.Config, backend: Backend) -> Subject:
    """Try two empty databases on the server of a backend."""
    run = state.run_of(config)
    server = run.server(backend)
    isolations = [run.isolation(server, which) for which in ("start", "second")]
    for isolation in isolations:
        isolation.clean()
    return resolve_app(config, _app_options(config), *(one.database.uri for one in isolations))


def _app_options(config: pytest.Config) -> AppOptions:
    from flask_sqlalchemy_testbed.subject.resolve import AppOptions  # noqa: PLC0415 - slow to import

    app, session, uri_key, uri_env, file = (settings.setting(config, name) for name in OPTIONS_OF_APP)
    folder = config.invocation_params.dir if settings.given(config, "config") else config.rootpath
    path = str(folder / file) if file else ""
    metadata = settings.setting(config, "metadata")
    return AppOptions(app, session, uri_key, uri_env, path, drivers_of(config), metadata)
