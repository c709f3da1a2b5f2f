"""The pytest plugin: which backends to run on, and their servers."""

from __future__ import annotations

import pytest

from testbed import stash
from testbed.backends import BACKENDS, UnknownBackendError, choose
from testbed.parameters import backend_fixture

pytest_plugins = [
    "testbed.parallel",
    "testbed.fixtures",
    "testbed.subjects",
    "testbed.schema",
    "testbed.baseline",
    "testbed.applicability",
    "testbed.failures",
    "testbed.selection",
    "testbed.reporting",
    "testbed.battery.watchdog",
]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of the command line and of the configuration file."""
    group = parser.getgroup("testbed", "databases to run the tests on")
    group.addoption(
        "--backend",
        action="append",
        metavar="NAME",
        help=f"run on this backend ({', '.join(BACKENDS)}); repeatable, or several with commas between",
    )
    group.addoption(
        "--keep-failed",
        action="store_true",
        help="stop at the first failure, leave its server and its rows, and tell how to connect",
    )
    group.addoption(
        "--keep-servers",
        action="store_true",
        help="leave throwaway servers for the next run that wants the same;"
        " `python -m testbed.servers remove` removes them",
    )
    parser.addini("backend", "backends to run on where --backend names none", type="args", default=["sqlite"])
    parser.addini(
        "session", "module:attribute.path of the scoped_session that must be empty after a test", default=""
    )
    parser.addini(
        "metadata", "module:attribute.path of the metadata whose tables every test finds, empty", default=""
    )
    parser.addini("server_timeout", "seconds for a server to get ready", default="60")


def pytest_configure(config: pytest.Config) -> None:
    """Reads what was asked for; nothing is started here."""
    for name in BACKENDS:
        config.addinivalue_line("markers", f"{name}: the run of a test on {name}")
    config.addinivalue_line("markers", "check(check): a check of the battery")
    config.addinivalue_line("markers", "needs(*capabilities): applies only where the server has all of these")
    config.addinivalue_line(
        "markers",
        "restart_identities: generated keys start again for the test, on backends too where that is slow",
    )
    names = config.getoption("backend") or config.getini("backend")
    try:
        backends = choose(part.strip() for name in names for part in name.split(",") if part.strip())
    except UnknownBackendError as error:
        raise pytest.UsageError(str(error)) from None
    config.stash[stash.BACKENDS] = backends
    config.pluginmanager.register(backend_fixture(backends), "testbed-backend")


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Gets the servers that were asked for, before the header tells of them."""
    config = session.config
    if not config.getoption("backend") or _only_looks(config):
        return
    from testbed.readiness import ServerError  # noqa: PLC0415

    backends = config.stash[stash.BACKENDS]
    try:
        stash.run_of(config).start(backends)
    except ServerError as error:
        raise pytest.UsageError(*str(error).splitlines()) from None


def pytest_report_header(config: pytest.Config) -> list[str]:
    """One line a server: its version, and where it came from."""
    servers = config.stash[stash.RUN].servers.values() if stash.RUN in config.stash else ()
    return [f"{server.backend.name}: {server.version} ({server.source})" for server in servers]


def _only_looks(config: pytest.Config) -> bool:
    options = ("collectonly", "showfixtures", "show_fixtures_per_test", "setupplan", "cacheshow")
    return any(config.getoption(option, default=False) for option in options)
