"""The pytest plugin: which backends to run on, and their servers."""

from __future__ import annotations

import pytest

from flask_sqlalchemy_testbed.backends import BACKENDS, UnknownBackendError, choose
from flask_sqlalchemy_testbed.plugin import settings, state
from flask_sqlalchemy_testbed.plugin.parameters import backend_fixture

pytest_plugins = [
    "flask_sqlalchemy_testbed.plugin.settings",
    "flask_sqlalchemy_testbed.plugin.xdist",
    "flask_sqlalchemy_testbed.plugin.fixtures",
    "flask_sqlalchemy_testbed.plugin.app_option",
    "flask_sqlalchemy_testbed.plugin.schema",
    "flask_sqlalchemy_testbed.plugin.baseline",
    "flask_sqlalchemy_testbed.plugin.applicability",
    "flask_sqlalchemy_testbed.plugin.failures",
    "flask_sqlalchemy_testbed.plugin.selection",
    "flask_sqlalchemy_testbed.plugin.reporting",
    "flask_sqlalchemy_testbed.plugin.watchdog",
]


def pytest_configure(config: pytest.Config) -> None:
    """Reads what was asked for; nothing is started here."""
    for name in BACKENDS:
        config.addinivalue_line("markers", f"{name}: the run of a test on {name}")
    config.addinivalue_line("markers", "testbed_check(check): a check of the battery")
    config.addinivalue_line(
        "markers", "testbed_needs(*capabilities): applies only where the server has all of these"
    )
    config.addinivalue_line(
        "markers",
        "testbed_restart_identities: generated keys start at 1 in this test, also where that is slow",
    )
    names = settings.setting(config, "backend")
    try:
        backends = choose(part.strip() for name in names for part in name.split(",") if part.strip())
    except UnknownBackendError as error:
        raise pytest.UsageError(str(error)) from None
    config.stash[state.BACKENDS] = backends
    config.pluginmanager.register(backend_fixture(backends), "testbed-backend")


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Gets the servers that were asked for, before the header tells of them."""
    config = session.config
    if not settings.given(config, "backend") or _only_looks(config):
        return
    from flask_sqlalchemy_testbed.servers.readiness import ServerError  # noqa: PLC0415

    backends = config.stash[state.BACKENDS]
    try:
        state.run_of(config).start(backends)
    except ServerError as error:
        raise pytest.UsageError(*str(error).splitlines()) from None


def pytest_report_header(config: pytest.Config) -> list[str]:
    """One line a server: its version, and where it came from."""
    servers = config.stash[state.RUN].servers.values() if state.RUN in config.stash else ()
    return [f"{server.backend.name}: {server.version} ({server.source})" for server in servers]


def _only_looks(config: pytest.Config) -> bool:
    options = ("collectonly", "showfixtures", "show_fixtures_per_test", "setupplan", "cacheshow")
    return any(config.getoption(option, default=False) for option in options)
