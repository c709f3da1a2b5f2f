"""Facts for the report: the app, the versions of packages, the servers and their settings."""

from __future__ import annotations

import functools
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.plugin import app_option

if TYPE_CHECKING:
    import pytest

    from flask_sqlalchemy_testbed.report.matrix import ServerFacts
    from flask_sqlalchemy_testbed.run import Run
    from flask_sqlalchemy_testbed.servers.network import Server

# Packages whose version may change the outcome of a check.
PACKAGES = (
    "flask-sqlalchemy-testbed",
    *("Flask", "SQLAlchemy", "Flask-SQLAlchemy", "Flask-SQLAlchemy-Lite"),
    *("psycopg2-binary", "psycopg2", "psycopg", "PyMySQL", "mysqlclient", "gunicorn", "gevent", "pytest"),
)


def subject(config: pytest.Config) -> dict[str, str]:
    """Return the facts about the app."""
    return {
        **app_option.facts(config),
        **app_option.places_of(config),
        "promises": "checked" if app_option.promises(config) else "not checked",
    }


@functools.cache
def software() -> dict[str, str]:
    """Return the versions of Python and of the installed packages."""
    found = {"Python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def now() -> str:
    """Return the time in UTC, as ISO 8601 writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def servers(run: Run, *, ask: bool) -> dict[str, ServerFacts]:
    """Return the facts about the servers of a run.

    Args:
        run: the run.
        ask: whether to read the settings from the servers.
    """
    return {
        name: {
            "backend": name,
            "version": server.version,
            "source": server.source,
            "settings": _settings(run, server) if ask else {},
        }
        for name, server in run.servers.items()
    }


def _settings(run: Run, server: Server) -> dict[str, str]:
    try:
        rows = run.isolation(server).database.connection.rows(server.backend.settings)
    except Exception as error:  # noqa: BLE001 - the server may be gone; the report is written anyway
        return {"cannot be read": str(error)}
    return {str(name): str(value) for name, value in rows}
