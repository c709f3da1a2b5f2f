"""Register and read the options and configuration keys of the plugin; no other module does."""

from __future__ import annotations

import math
import os
import sys
from typing import Any

import pytest

from flask_sqlalchemy_testbed.options import OPTIONS, Option, flag
from flask_sqlalchemy_testbed.servers.lingering import FOREVER

SERVER_TIMEOUT = "testbed_server_timeout"
# An empty report is none, and the message on an empty backend names the choice.
MAY_BE_EMPTY = ("report", "backend")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register each option of the table, and the keys that only a configuration file has."""
    group = parser.getgroup("flask-sqlalchemy-testbed", "Flask + SQLAlchemy testbed")
    for option in OPTIONS.values():
        _add(group, option)
        if isinstance(option.default, bool):
            parser.addini(option.key, option.help, type="bool", default=option.default)
        elif isinstance(option.default, tuple):
            parser.addini(option.key, option.help, type="args", default=list(option.default))
        elif option.default is not None:
            parser.addini(option.key, option.help, default=option.default)
    parser.addini(SERVER_TIMEOUT, "seconds for a server to get ready", default="60")


def pytest_configure(config: pytest.Config) -> None:
    """Refuse values that cannot be right before any test runs."""
    for name, option in OPTIONS.items():
        _refuse_unreadable(config, option)
        value = given(config, name)
        # A variable of CI that is not set must not change the meaning of a run.
        if name not in MAY_BE_EMPTY and "" in (value if isinstance(value, list) else [value]):
            message = f"{flag(name)} is empty. Give a value, or leave the option out."
            raise pytest.UsageError(message)
        if option.metavar == "SECONDS":
            seconds(config, name)
    linger(config)
    server_timeout(config)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Put the folder of the configuration file on the import path if the file names a module.

    `python -m pytest` does it in that folder; `pytest` does not, and a conftest.py and the tests import the
    same modules.
    """
    named = [one for one in OPTIONS.values() if one.metavar.startswith("MODULE") and one.default is not None]
    root = str(early_config.rootpath)
    if root not in sys.path and any(early_config.getini(one.key) for one in named):
        sys.path.insert(0, root)


def _refuse_unreadable(config: pytest.Config, option: Option) -> None:
    try:
        if option.default is not None:
            config.getini(option.key)
    except (ValueError, pytest.UsageError) as error:  # pytest 9 raises its own error
        message = f"{option.key} cannot be read: {error}. Correct it."
        raise pytest.UsageError(message) from None


def given(config: pytest.Config, name: str) -> Any:
    """Return the value of an option on the command line; None or False where it was not given."""
    return config.getoption(OPTIONS[name].key)


def setting(config: pytest.Config, name: str) -> Any:
    """Return the value of an option on the command line, else in the configuration file."""
    option = OPTIONS[name]
    value = config.getoption(option.key)
    return value or (config.getini(option.key) if option.default is not None else value)


def seconds(config: pytest.Config, name: str) -> float:
    """Return the value of an option that is a number of seconds.

    Raises:
        pytest.UsageError: it is no such number.
    """
    return _seconds(flag(name) if given(config, name) else OPTIONS[name].key, setting(config, name))


def linger(config: pytest.Config) -> int:
    """Return the seconds for which servers linger after the run; always 0 in CI.

    Raises:
        pytest.UsageError: the value is neither a number of seconds nor `forever`.
    """
    text = setting(config, "linger")
    number = FOREVER if text == "forever" else math.ceil(seconds(config, "linger"))
    return 0 if os.environ.get("CI") else min(number, FOREVER)


def server_timeout(config: pytest.Config) -> float:
    """Return the seconds that a server may take to get ready.

    Raises:
        pytest.UsageError: the key holds no such number.
    """
    return _seconds(SERVER_TIMEOUT, config.getini(SERVER_TIMEOUT))


def _add(group: pytest.OptionGroup, option: Option) -> None:
    if not option.metavar:
        group.addoption(option.flag, action="store_true", help=option.help)
    else:
        action = "append" if option.repeatable else "store"
        group.addoption(option.flag, action=action, metavar=option.metavar, help=option.help)


def _seconds(name: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if 0 <= number < math.inf:  # It is false for nan.
        return number
    message = f"{name} is {text!r}. Give a number of seconds, such as 30."
    raise pytest.UsageError(message)
