"""A pool that hands out connections unseen: after a restart of the server, the dead ones too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import scoped_session

from app.engines import make_engine
from tests.specimens import CORRECTED, Specimen
from tests.specimens.plain import make_app, new_session

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Flask

SPECIMEN = Specimen(
    mistake="Nobody asks whether a pooled connection still lives, so requests find out.",
    met="pallets-eco/flask-sqlalchemy#1177, #802, #449; sqlalchemy/sqlalchemy#5566",
    caught_by=("faults.lost-between-requests", "faults.restart", "faults.idle-timeout"),
    backends=("postgresql", "mysql"),
    why_not="SQLite has no connection to lose.",
)

session = scoped_session(new_session)


def create_app(config: Mapping[str, Any]) -> Flask:
    app = make_app(config)
    app.extensions["engine"] = make_engine(config["DATABASE_URI"], pool_pre_ping=CORRECTED)
    app.teardown_appcontext(lambda _: session.remove())
    return app
