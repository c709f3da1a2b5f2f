"""Nothing is said about time zones: what the database calls now depends on where its server stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import make_url

import app
from app.database import db_session as session
from tests.specimens import CORRECTED, Specimen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Flask

__all__ = ["SPECIMEN", "create_app", "session"]

SPECIMEN = Specimen(
    mistake="The connection keeps the time zone of the server, whatever that is.",
    met="MemMachine/MemMachine#1558",
    caught_by=("portability.time-zone-of-the-server",),
    backends=("postgresql", "mysql"),
    why_not="SQLite has no time zone.",
)
OPTIONS: dict[str, dict[str, Any]] = {
    "postgresql": {"connect_args": {"options": ""}},
    "mysql": {"connect_args": {"init_command": "SET sql_mode = 'TRADITIONAL'"}},
}


def create_app(config: Mapping[str, Any]) -> Flask:
    options = OPTIONS.get(make_url(config["DATABASE_URI"]).get_backend_name(), {})
    return app.create_app({**config, "DATABASE_ENGINE_OPTIONS": {} if CORRECTED else options})
