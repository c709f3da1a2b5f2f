"""A primary and a standby that one check lets fail."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING

import pytest

from flask_sqlalchemy_testbed.battery.trial import Trial
from flask_sqlalchemy_testbed.databases import Database
from flask_sqlalchemy_testbed.plugin import state
from flask_sqlalchemy_testbed.plugin.failures import fail_for_leaks
from flask_sqlalchemy_testbed.plugin.watchdog import RESCUES, untimed
from flask_sqlalchemy_testbed.servers.network import NetworkServer
from flask_sqlalchemy_testbed.subject import guard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flask_sqlalchemy_testbed.backends.base import Backend
    from flask_sqlalchemy_testbed.run import Run


class OwnPair:
    """A pair of servers with one database, which has the battery's tables."""

    def __init__(self, run: Run, backend: Backend, schema: Callable[[str], None]) -> None:
        self.pair = run.start_pair(backend, gate=False)
        try:
            primary, standby, name = self.pair.primary, self.pair.standby, f"testbed_{secrets.token_hex(6)}"
            container = primary.container
            self.server = NetworkServer(backend, primary.url, source=container.source, container=container)
            self.server.create(name)
            self.database = Database(backend, primary.url.set(database=name))
            self.standby = Database(backend, standby.url.set(database=name))
            guard.allow(self.database.url)
            schema(self.database.uri)
        except BaseException:
            self.pair.close()
            raise

    def fail_over(self) -> None:
        """Demote the primary, which still answers, and promote the standby."""
        self.pair.demote()
        self.pair.promote()

    def kill_primary(self) -> None:
        """Kill the server that was the primary."""
        self.pair.primary.kill()

    def close(self) -> None:
        """Remove both servers."""
        self.server.disconnect()
        for database in (self.database, self.standby):
            database.connection.close()
        self.pair.close()


@pytest.fixture
def own_pair(
    request: pytest.FixtureRequest, testbed_backend: Backend, testbed_schema: Callable[[str], None]
) -> Iterator[OwnPair]:
    """Return a pair that this check alone uses; afterwards fail the check for leaks on the new primary."""
    item: pytest.Item = request.node
    run = state.run_of(request.config)
    with untimed(request.config):
        own = OwnPair(run, testbed_backend, testbed_schema)
    try:
        item.stash[state.BEGAN] = time.time(), own.server
        item.stash.setdefault(RESCUES, []).append(own.pair.close)
        probe = run.install_probe()
        probe.start(own.standby)
        yield own
        if leaks := probe.leaks(own.standby):
            fail_for_leaks(item, leaks)
    finally:
        own.close()


@pytest.fixture
def pair_trial(request: pytest.FixtureRequest, own_pair: OwnPair) -> Iterator[Trial]:
    """Return the app under test on a pair of servers."""
    trial = Trial(request, own_pair.database)
    yield trial
    trial.end()
