"""Shorten the names of options and hide tracebacks; only the commands load this module."""

from __future__ import annotations

import pytest

from flask_sqlalchemy_testbed.options import use_short_flags


@pytest.hookimpl(tryfirst=True)
def pytest_configure() -> None:
    """Name options as the commands do: in the workers of a parallel run too."""
    use_short_flags()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Leave tracebacks to the report, unless `--tb` asks for them."""
    if session.config.option.tbstyle == "auto":
        session.config.option.tbstyle = "no"
