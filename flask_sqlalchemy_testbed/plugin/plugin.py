"""The entry point of the plugin: it registers the modules with hooks and fixtures."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

# In the order of their registration: pytest calls the hooks of the last one first.
MODULES = (
    "backend_option",
    "xdist",
    "fixtures",
    "containment",
    "app_option",
    "schema",
    "outputs",
    "baseline",
    "outage",
    "elsewhere",
    "failures",
    "selection",
    "reporting",
    "watchdog",
    "redacted",
    "own_process",
    "settings",
)


def pytest_addoption(pluginmanager: pytest.PytestPluginManager) -> None:
    """Register the other modules of the plugin.

    `pytest_plugins` would be slower: for each entry, pytest reads the metadata of all packages.
    """
    for module in MODULES:
        name = f"{__package__}.{module}"
        pluginmanager.register(import_module(name), name)
