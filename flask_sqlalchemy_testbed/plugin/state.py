"""State that the modules of the plugin share, kept in the stashes of pytest's own objects."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NoReturn

import pytest

from flask_sqlalchemy_testbed.plugin import settings

if TYPE_CHECKING:
    from flask_sqlalchemy_testbed.backends.base import Backend
    from flask_sqlalchemy_testbed.databases import Database
    from flask_sqlalchemy_testbed.plugin.channel import Worker
    from flask_sqlalchemy_testbed.run import Run
    from flask_sqlalchemy_testbed.servers.network import Server

# Of the whole run: its config.
BACKENDS: pytest.StashKey[list[Backend]] = pytest.StashKey()
RUN: pytest.StashKey[Run] = pytest.StashKey()
RUN_NAME: pytest.StashKey[str] = pytest.StashKey()
"""Set in a parallel run: the names of its workers' databases begin alike."""
DESCRIBED: pytest.StashKey[set[str]] = pytest.StashKey()
"""The backends whose servers have been described to the user."""
KEPT: pytest.StashKey[list[str]] = pytest.StashKey()
"""Lines on how to connect to the server that --testbed-keep-failed has left."""
WORKER: pytest.StashKey[Worker] = pytest.StashKey()
"""Set in a worker of pytest-xdist: the values that its controller passed."""
IS_ALONE: pytest.StashKey[bool] = pytest.StashKey()
"""Set in a process that runs a single check, for an app that can be made once per process."""

# Of a test: its item.
BEGAN: pytest.StashKey[tuple[float, Server]] = pytest.StashKey()
"""The `time.time()` from which the test has used a server, and that server."""
DATABASES: pytest.StashKey[list[Database]] = pytest.StashKey()
FAILURES: pytest.StashKey[list[pytest.TestReport]] = pytest.StashKey()
LEAK: pytest.StashKey[str] = pytest.StashKey()
"""The connections, sessions and transactions that the test left open."""
INTERRUPTED: pytest.StashKey[bool] = pytest.StashKey()
"""Set if Ctrl-C ended the test: its code could not close what it had open."""
NOT_APPLICABLE: pytest.StashKey[str] = pytest.StashKey()
"""Why the test does not apply: the capability that is missing, or the finding of the test itself."""
NOTE: pytest.StashKey[str] = pytest.StashKey()
"""A finding of a check that passed, in one sentence."""


def new_servers(config: pytest.Config) -> list[str]:
    """Return a line for each server of the run that no earlier call has described.

    Args:
        config: pytest's configuration.
    """
    if RUN not in config.stash:
        return []
    described = config.stash.setdefault(DESCRIBED, set())
    new = [server for name, server in config.stash[RUN].servers.items() if name not in described]
    described |= {server.backend.name for server in new}
    return [f"{server.backend.name}: {server.version} ({server.source})" for server in new]


def describe_new_servers(config: pytest.Config) -> None:
    """Print the lines of `new_servers`; a worker of pytest-xdist prints none.

    Args:
        config: pytest's configuration.
    """
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    capture = config.pluginmanager.get_plugin("capturemanager")
    if (lines := new_servers(config)) and reporter and reporter.verbosity >= 0:
        with capture.global_and_fixture_disabled() if capture else contextlib.nullcontext():
            for line in lines:
                reporter.write_line(line)


def not_applicable(item: pytest.Item, reason: str) -> NoReturn:
    """End a check whose claim cannot be observed through the app.

    Args:
        item: The test of the check.
        reason: The reason, as words that follow "not applicable:".
    """
    item.stash[NOT_APPLICABLE] = reason
    pytest.skip(reason)


def run_of(config: pytest.Config) -> Run:
    """Return the run of this pytest process: made on first use, closed when pytest ends.

    Args:
        config: pytest's configuration.
    """
    if RUN not in config.stash:
        # It imports SQLAlchemy, which would slow the tests of other projects.
        from flask_sqlalchemy_testbed.redaction import redact  # noqa: PLC0415
        from flask_sqlalchemy_testbed.run import Run  # noqa: PLC0415

        def notify(line: str) -> None:
            if reporter := config.pluginmanager.get_plugin("terminalreporter"):
                reporter.write_line(redact(line))

        worker = config.stash.get(WORKER, None)
        run = Run(
            name=config.stash.get(RUN_NAME, ""),
            loan_of=worker.loan_of if worker else None,
            session=settings.setting(config, "session"),
            within=settings.server_timeout(config),
            notify=notify,
            pooler=settings.setting(config, "pooler"),
            linger=settings.linger(config),
        )
        config.stash[RUN] = run
        config.add_cleanup(run.close)
    return config.stash[RUN]
