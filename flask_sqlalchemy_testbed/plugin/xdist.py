"""Share the servers of one run with the workers of pytest-xdist, as `channel` describes."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from flask_sqlalchemy_testbed.backends import BACKENDS
from flask_sqlalchemy_testbed.backends.base import new_name
from flask_sqlalchemy_testbed.plugin import state
from flask_sqlalchemy_testbed.plugin.channel import LATE_SERVERS, Worker, description

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flask_sqlalchemy_testbed.run import Run

# The key in `workerinput`.
KEY = "flask_sqlalchemy_testbed"


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Find out whether this process is a worker, or a controller of workers."""
    if passed := getattr(config, "workerinput", {}).get(KEY):
        worker = config.stash[state.WORKER] = Worker(**passed)
        config.stash[state.RUN_NAME] = worker.run
    elif config.getoption("dist", "no") != "no" and config.getoption("tx", None):
        config.stash[state.RUN_NAME] = new_name()
        config.pluginmanager.register(Controller(config), "flask-sqlalchemy-testbed-controller")


class Controller:
    """The part of the plugin in the process that starts the workers."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._has_seen_collection = False
        self._own_directory: Path | None = None

    def pytest_configure_node(self, node: Any) -> None:
        """Describe to a worker, before it starts, the servers that run already."""
        node.workerinput[KEY] = {
            "run": f"{self._config.stash[state.RUN_NAME]}_{node.workerinput['workerid']}",
            "directory": str(self._directory()),
            "servers": self._servers(),
        }

    @pytest.hookimpl(tryfirst=True)
    def pytest_xdist_node_collection_finished(self, ids: Sequence[str]) -> None:
        """Start the servers that the collected tests need and that do not run yet."""
        if self._has_seen_collection:
            return
        self._has_seen_collection = True
        started = self._servers()
        names = [
            backend.name for backend in self._config.stash[state.BACKENDS] if backend.name not in started
        ]
        pattern = re.compile(rf"[\[-]({'|'.join(names)})[\]-]")
        if needed := dict.fromkeys(name for test in ids for name in pattern.findall(test)) if names else {}:
            self._start(list(needed))

    def _start(self, names: list[str]) -> None:
        from flask_sqlalchemy_testbed.servers.readiness import ServerError  # noqa: PLC0415 - on use

        errors = {}
        try:
            state.run_of(self._config).start(BACKENDS[name] for name in names)
        except ServerError as error:
            # The tests on the other backends run.
            errors = {name: {"error": str(error)} for name in names}
        state.describe_new_servers(self._config)
        path = self._directory() / LATE_SERVERS
        path.touch(mode=0o600)
        path.write_text(json.dumps({**errors, **self._servers()}), encoding="utf-8")

    def _directory(self) -> Path:
        # pytest-xdist finds the temporary directory in the same way. Without pytest's plugin there is none.
        if factory := getattr(self._config, "_tmp_path_factory", None):
            return Path(factory.getbasetemp())
        if self._own_directory is None:
            import shutil  # noqa: PLC0415 - on use
            import tempfile  # noqa: PLC0415 - on use

            self._own_directory = Path(tempfile.mkdtemp(prefix="testbed-workers-"))
            self._config.add_cleanup(partial(shutil.rmtree, self._own_directory, ignore_errors=True))
        return self._own_directory

    def _servers(self) -> dict[str, dict[str, Any]]:
        run: Run | None = self._config.stash.get(state.RUN, None)
        return {name: description(server) for name, server in run.servers.items()} if run else {}
