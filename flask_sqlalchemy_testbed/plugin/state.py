"""What the parts of the plugin know in common, kept on pytest's own objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from flask_sqlalchemy_testbed.plugin import settings

if TYPE_CHECKING:
    from flask_sqlalchemy_testbed.backends.base import Backend
    from flask_sqlalchemy_testbed.databases import Database
    from flask_sqlalchemy_testbed.plugin.channel import Controller, Workers
    from flask_sqlalchemy_testbed.run import Run
    from flask_sqlalchemy_testbed.servers.network import Server

# Of a run of pytest.
BACKENDS: pytest.StashKey[list[Backend]] = pytest.StashKey()
RUN: pytest.StashKey[Run] = pytest.StashKey()
KEPT: pytest.StashKey[list[str]] = pytest.StashKey()
# Of a run that is spread over workers: what the one has of the others.
WORKERS: pytest.StashKey[Workers] = pytest.StashKey()
CONTROLLER: pytest.StashKey[Controller] = pytest.StashKey()
# Of a test: since when it has used which server and databases, its failures, and what it left open.
BEGAN: pytest.StashKey[tuple[float, Server]] = pytest.StashKey()
DATABASES: pytest.StashKey[list[Database]] = pytest.StashKey()
FAILURES: pytest.StashKey[list[pytest.TestReport]] = pytest.StashKey()
LEAK: pytest.StashKey[str] = pytest.StashKey()
# Of a test that was left out: the capability that is missing.
NOT_APPLICABLE: pytest.StashKey[str] = pytest.StashKey()


def run_of(config: pytest.Config) -> Run:
    """The one run of this pytest, made on first use and closed whatever ends it."""
    if RUN not in config.stash:
        # SQLAlchemy is not imported for those who use none of this.
        from flask_sqlalchemy_testbed.plugin.channel import Owner  # noqa: PLC0415
        from flask_sqlalchemy_testbed.run import Run  # noqa: PLC0415

        def notify(line: str) -> None:
            if reporter := config.pluginmanager.get_plugin("terminalreporter"):
                reporter.write_line(line)

        controller = config.stash.get(CONTROLLER, None)
        known = controller or config.stash.get(WORKERS, None)
        run = Run(
            name=known.run if known else "",
            loan_of=Owner(controller).lend if controller else None,
            session=settings.setting(config, "session"),
            within=settings.server_timeout(config),
            notify=notify,
            keep_servers=settings.given(config, "keep-servers"),
        )
        config.stash[RUN] = run
        config.add_cleanup(run.close)
    return config.stash[RUN]
