"""Shorten names of options and paths, hide tracebacks, order checks; only the commands load this module."""

from __future__ import annotations

import pytest

from flask_sqlalchemy_testbed.checks.check import check_of
from flask_sqlalchemy_testbed.options import use_short_flags
from flask_sqlalchemy_testbed.plugin.app_warnings import WarningCounter


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Name options as the commands do: in the workers of a parallel run too. Count the app's warnings."""
    use_short_flags()
    config.pluginmanager.register(WarningCounter())


def pytest_sessionstart(session: pytest.Session) -> None:
    """Name the modules of the checks without the path to this package."""
    if reporter := session.config.pluginmanager.get_plugin("terminalreporter"):
        reporter.startpath = session.config.rootpath


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In a parallel run, begin with the checks that stop a server, which wait longest.

    At the end of the run, one process would wait for such a check and the others would have none left.
    """
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: not ((check := check_of(item)) and check.stops_server))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Leave tracebacks to the report, unless `--tb` asks for them."""
    if session.config.option.tbstyle == "auto":
        session.config.option.tbstyle = "no"
