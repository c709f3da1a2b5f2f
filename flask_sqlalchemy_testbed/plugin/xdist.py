"""The part of the plugin for tests that pytest-xdist spreads over workers, who share one's servers."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from flask_sqlalchemy_testbed.backends import BACKENDS
from flask_sqlalchemy_testbed.plugin import state
from flask_sqlalchemy_testbed.plugin.channel import Controller, Workers

if TYPE_CHECKING:
    from flask_sqlalchemy_testbed.servers.sharing import Loan

CARD = "testbed"


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Has the one listen, and the others know where; tests that are not spread need neither."""
    if card := getattr(config, "workerinput", {}).get(CARD):
        controller = config.stash[state.CONTROLLER] = Controller(**card)
        config.add_cleanup(controller.close)
    elif config.getoption("dist", "no") != "no" and config.getoption("tx", None):
        workers = config.stash[state.WORKERS] = Workers()
        workers.answers["lend"] = Lender(config).lend


def pytest_unconfigure(config: pytest.Config) -> None:
    """Lends nothing more, before the run is closed."""
    if (workers := config.stash.get(state.WORKERS, None)) is not None:
        workers.close()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tells a worker, before it starts, where to ask."""
    if (workers := node.config.stash.get(state.WORKERS, None)) is not None:
        node.workerinput[CARD] = workers.card(node.workerinput["workerid"])


class Lender:
    """Lends the run's servers, each started when it is first asked for."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._lock = threading.Lock()

    def lend(self, backend: str) -> Loan:
        """What stands for that backend's server in a worker."""
        from flask_sqlalchemy_testbed.servers.sharing import lend  # noqa: PLC0415 - SQLAlchemy is not for everybody

        with self._lock:
            return lend(state.run_of(self._config).server(BACKENDS[backend]))
