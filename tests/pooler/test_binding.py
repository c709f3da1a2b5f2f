"""The binding behind poolers with other settings than docs/pooler.md gives."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from app.database import LostSettingError
from app.database.engines import make_engine
from flask_sqlalchemy_testbed.backends.base import Backend
from flask_sqlalchemy_testbed.plugin import settings, state
from flask_sqlalchemy_testbed.servers.containers import Container
from flask_sqlalchemy_testbed.servers.readiness import wait_until_ready

pytestmark = pytest.mark.testbed_needs("pooled")

MakePooler = Callable[..., Callable[..., Engine]]
LIMIT = text("SHOW statement_timeout")


@pytest.fixture(scope="module")
def server(testbed_backend: Backend, pytestconfig: pytest.Config) -> Iterator[Container]:
    """Start a server that no other pooler leads to."""
    container = state.run_of(pytestconfig).start_container(testbed_backend)
    yield container
    container.remove()


@pytest.fixture
def behind(server: Container, testbed_backend: Backend, pytestconfig: pytest.Config) -> Iterator[MakePooler]:
    """Return a function that starts a pooler with more settings, and returns one that makes engines there."""
    run, name = state.run_of(pytestconfig), settings.setting(pytestconfig, "pooler")
    with contextlib.ExitStack() as stack:

        def start(*lines: str) -> Callable[..., Engine]:
            flags = (*server.host_and_port, *lines)
            container = run.start_container(
                testbed_backend, recipe=testbed_backend.poolers[name], flags=flags
            )
            stack.callback(container.remove)
            wait_until_ready(testbed_backend, container.url(), where="test", within=30, container=container)

            def make(**options: Any) -> Engine:
                engine = make_engine(container.url(), **options)
                stack.callback(engine.dispose)
                return engine

            return make

        yield start


def test_a_pooler_with_its_defaults_refuses_what_a_connection_sends(behind: MakePooler) -> None:
    make = behind()
    with pytest.raises(OperationalError, match="unsupported startup parameter in options: statement_timeout"):
        make().connect()

    with make(behind_pooler=True).connect() as connection:
        assert connection.scalar(LIMIT) == "30s"


def test_a_pooler_that_ignores_the_limit_is_noticed(behind: MakePooler) -> None:
    make = behind("ignore_startup_parameters = statement_timeout")
    with pytest.raises(LostSettingError, match=r"dropped statement_timeout\. Pass behind_pooler=True"):
        make().connect()

    with make(behind_pooler=True).connect() as connection:
        assert connection.scalar(LIMIT) == "30s"


def test_clients_with_other_limits_keep_their_own(behind: MakePooler) -> None:
    make = behind("default_pool_size = 1")
    engines = [
        make(behind_pooler=True, connect_args={"options": f"-c statement_timeout={seconds}s"})
        for seconds in (7, 8)
    ]
    found = []
    for engine in engines * 2:
        with engine.connect() as connection:
            found.append(connection.scalar(LIMIT))

    assert found == ["7s", "8s", "7s", "8s"]
