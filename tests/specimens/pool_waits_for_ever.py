"""A pool without a time limit: "no request shall fail for want of a connection"."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import app
from app.database import db_session as session
from tests.specimens import CORRECTED, Specimen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Flask

__all__ = ["SPECIMEN", "create_app", "session"]

SPECIMEN = Specimen(
    mistake="A request that finds no free connection waits until there is one, which may be never.",
    met="miguelgrinberg/Flask-SocketIO#1040",
    caught_by=("faults.pool-exhausted",),
)


def create_app(config: Mapping[str, Any]) -> Flask:
    options = {} if CORRECTED else {"pool_timeout": None}
    return app.create_app({**config, "DATABASE_ENGINE_OPTIONS": options})
