"""Nobody waits for a lock: a busy database answers at once, with an error."""

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
    mistake="Time limits meant for the network, or for tests, leave no time to wait for another writer.",
    met="savelov/radar-wms#30",
    caught_by=("portability.writer-waits",),
)
OPTIONS: dict[str, dict[str, Any]] = {
    "sqlite": {"connect_args": {"timeout": 0}},
    "postgresql": {"connect_args": {"options": "-c lock_timeout=50ms"}},
    "mysql": {"connect_args": {"read_timeout": 0.2}},
}


def create_app(config: Mapping[str, Any]) -> Flask:
    options = OPTIONS.get(make_url(config["DATABASE_URI"]).get_backend_name(), {})
    return app.create_app({**config, "DATABASE_ENGINE_OPTIONS": {} if CORRECTED else options})
