"""MySQL is told to take what it gets: an empty sql_mode, as old guides have it."""

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
    mistake="MySQL is not strict: a text that does not fit is cut off, and nobody is told.",
    met="CCI-MOC/hil#374, Kotti/Kotti#404",
    caught_by=("portability.too-long",),
    backends=("mysql",),
    why_not="The others have no such mode.",
)
OPTIONS: dict[str, dict[str, Any]] = {
    "mysql": {"connect_args": {"init_command": "SET time_zone = '+00:00', sql_mode = ''"}},
}


def create_app(config: Mapping[str, Any]) -> Flask:
    options = OPTIONS.get(make_url(config["DATABASE_URI"]).get_backend_name(), {})
    return app.create_app({**config, "DATABASE_ENGINE_OPTIONS": {} if CORRECTED else options})
