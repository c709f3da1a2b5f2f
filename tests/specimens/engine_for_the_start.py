"""A second engine, for what has to be asked when the app starts, which nobody disposes of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import text
from sqlalchemy.orm import scoped_session

from app.engines import make_engine
from tests.specimens import CORRECTED, Specimen
from tests.specimens.plain import make_app, new_session

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Flask

SPECIMEN = Specimen(
    mistake="dispose() is missing: the connection of the engine that was used at start-up stays open.",
    met="pallets-eco/flask-sqlalchemy#1419, privacyidea/privacyidea#5956",
    caught_by=("isolation.nothing-for-the-collector",),
)

session = scoped_session(new_session)


def create_app(config: Mapping[str, Any]) -> Flask:
    app = make_app(config)
    engine = app.extensions["first engine"] = make_engine(config["DATABASE_URI"])
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    if CORRECTED:
        engine.dispose()
    app.teardown_appcontext(lambda _: session.remove())
    return app
