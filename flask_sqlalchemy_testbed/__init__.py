"""Test database code on real databases: servers, clean databases and leak checks.

The types of the fixtures can be imported from here: `Backend`, `Database` and `Server`. Everything else in
this package is private: it may change in any release.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask_sqlalchemy_testbed.backends.base import Backend
    from flask_sqlalchemy_testbed.databases import Database
    from flask_sqlalchemy_testbed.servers.network import Server

__all__ = ["Backend", "Database", "Server"]

_MODULES = {"Backend": "backends.base", "Database": "databases", "Server": "servers.network"}


def __getattr__(name: str) -> object:
    """Import a type on first use: the plugin is loaded in the test runs of other projects too."""
    if name not in _MODULES:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    from importlib import import_module  # noqa: PLC0415 - on use

    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
