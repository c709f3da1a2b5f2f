"""What was run on what: the subject, the packages, the servers as they describe themselves."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.plugin import app_option as subjects
from flask_sqlalchemy_testbed.redaction import redact

if TYPE_CHECKING:
    import pytest

    from flask_sqlalchemy_testbed.report.matrix import ServerFacts
    from flask_sqlalchemy_testbed.run import Run
    from flask_sqlalchemy_testbed.servers.network import Server

# Those that decide what a check finds, where they are installed.
PACKAGES = (
    *("Flask", "SQLAlchemy", "Flask-SQLAlchemy", "Flask-SQLAlchemy-Lite"),
    *("psycopg2-binary", "psycopg2", "psycopg", "PyMySQL", "mysqlclient", "gunicorn", "pytest"),
)


def subject(config: pytest.Config) -> dict[str, str]:
    """What was tried."""
    return {**subjects.facts(config), "promises": "checked" if subjects.promises(config) else "not checked"}


def software() -> dict[str, str]:
    """The versions of what ran in this process."""
    found = {"Python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def now() -> str:
    """The time, in UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def servers(run: Run, *, ask: bool) -> dict[str, ServerFacts]:
    """Those that the run has; they are asked for their settings now, if that is wanted."""
    return {
        name: {
            "backend": name,
            "version": server.version,
            "source": redact(server.source),
            "settings": _settings(run, server) if ask else {},
        }
        for name, server in run.servers.items()
    }


def _settings(run: Run, server: Server) -> dict[str, str]:
    try:
        rows = run.isolation(server).database.connection.rows(server.backend.settings)
    except Exception as error:  # noqa: BLE001 - a server that is gone in the end; the report is written anyway
        return {"cannot be had": redact(str(error))}
    return {str(name): redact(str(value)) for name, value in rows}
