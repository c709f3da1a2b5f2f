"""`--testbed-backend`: the backends that tests run on, and the servers of the command line."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from flask_sqlalchemy_testbed.backends import BACKENDS, UnknownBackendError, choose
from flask_sqlalchemy_testbed.options import OPTIONS, flag
from flask_sqlalchemy_testbed.plugin import settings, state

if TYPE_CHECKING:
    from flask_sqlalchemy_testbed.backends.base import Backend


def pytest_configure(config: pytest.Config) -> None:
    """Read which backends are selected; start nothing."""
    for name in BACKENDS:
        config.addinivalue_line("markers", f"{name}: the run of a test on {name}")
    config.addinivalue_line("markers", "testbed_check(check): a check of the battery")
    config.addinivalue_line(
        "markers", "testbed_needs(*capabilities): applies only to servers that have all of these"
    )
    config.addinivalue_line(
        "markers",
        "testbed_restart_identities: generated keys start at 1 in this test, also where that takes time",
    )
    names = settings.setting(config, "backend")
    try:
        backends: list[Backend] = choose(
            part.strip() for name in names for part in name.split(",") if part.strip()
        )
    except UnknownBackendError as error:
        raise pytest.UsageError(str(error)) from None
    if not backends:
        # A variable of CI that is not set must not make a run that tests nothing.
        name = flag("backend") if settings.given(config, "backend") else OPTIONS["backend"].key
        message = f"{name} is empty. Choose from: {', '.join(BACKENDS)}."
        raise pytest.UsageError(message)
    pooler = settings.setting(config, "pooler")
    if pooler and not any(pooler in backend.poolers for backend in backends):
        users = [known.name for known in BACKENDS.values() if pooler in known.poolers]
        poolers = ", ".join(sorted({name for known in BACKENDS.values() for name in known.poolers}))
        message = (
            f"{pooler} is a pooler for {', '.join(users)} alone. Add {flag('backend')} {users[0]}."
            if users
            else f"Unknown pooler {pooler!r}. Choose from: {poolers}."
        )
        raise pytest.UsageError(message)
    config.stash[state.BACKENDS] = backends
    config.pluginmanager.register(_fixtures_of(backends), "flask-sqlalchemy-testbed-backend")


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Start the servers that the command line names, before the header describes them.

    If some cannot be used, the tests on the others run.
    """
    config = session.config
    if not settings.given(config, "backend") or _runs_no_test(config):
        return
    from flask_sqlalchemy_testbed.servers.readiness import ServerError  # noqa: PLC0415 - on use

    backends = config.stash[state.BACKENDS]
    run = state.run_of(config)
    try:
        run.start(backends)
    except ServerError as error:
        if not run.servers:
            raise pytest.UsageError(*str(error).splitlines()) from None


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Return a line for each server: its version and its source."""
    return state.new_servers(config)


def _fixtures_of(backends: list[Backend]) -> ModuleType:
    """Return a module with the fixture whose parameters depend on the options."""
    params = [
        pytest.param(backend, id=backend.name, marks=getattr(pytest.mark, backend.name))
        for backend in backends
    ]

    @pytest.fixture(scope="session", params=params)
    def testbed_backend(request: pytest.FixtureRequest) -> Backend:
        """Return the backend that this test runs on; the test runs once for each selected backend."""
        return request.param  # type: ignore[no-any-return]

    module = ModuleType("flask_sqlalchemy_testbed.plugin.backend_fixture")
    module.testbed_backend = testbed_backend  # type: ignore[attr-defined]
    return module


def _runs_no_test(config: pytest.Config) -> bool:
    options = ("collectonly", "showfixtures", "show_fixtures_per_test", "setupplan", "cacheshow")
    return any(config.getoption(option, default=False) for option in options)
