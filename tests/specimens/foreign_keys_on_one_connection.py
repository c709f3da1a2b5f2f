"""PRAGMA foreign_keys = ON is sent once, when the app starts, on whatever connection comes first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine, text
from sqlalchemy.orm import scoped_session

from tests.specimens import CORRECTED, Specimen
from tests.specimens.plain import make_app, new_session

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Flask

SPECIMEN = Specimen(
    mistake="Foreign keys are switched on for the first connection of the pool, and for no other.",
    met="https://stackoverflow.com/questions/2614984, in some of the answers",
    caught_by=("portability.foreign-keys",),
    backends=("sqlite",),
    why_not="The others have no such switch to forget.",
)

session = scoped_session(new_session)


def create_app(config: Mapping[str, Any]) -> Flask:
    app = make_app(config)
    if not CORRECTED and app.extensions["engine"].dialect.name == "sqlite":
        engine = app.extensions["engine"] = create_engine(config["DATABASE_URI"])
        with engine.connect() as connection:
            connection.execute(text("PRAGMA foreign_keys = ON"))
    app.teardown_appcontext(lambda _: session.remove())
    return app
