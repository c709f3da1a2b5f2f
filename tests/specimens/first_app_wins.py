"""An engine that is made once and found again, whoever asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Flask, current_app
from sqlalchemy.orm import Session

from app.engines import make_engine
from tests.specimens import CORRECTED, Specimen
from tests.specimens.plain import scoped

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Engine

SPECIMEN = Specimen(
    mistake="The first configuration is kept for good: a later one, a test's say, is ignored.",
    met="pallets-eco/flask-sqlalchemy#1172",
    caught_by=("binding.uses-the-given-uri",),
)

made: dict[str, Engine] = {}


def engine(uri: str) -> Engine:
    key = uri if CORRECTED else "the engine"
    if key not in made:
        made[key] = make_engine(uri)
    return made[key]


session = scoped(lambda: Session(engine(current_app.config["DATABASE_URI"])))


def create_app(config: Mapping[str, Any]) -> Flask:
    app = Flask("specimen")
    app.config.from_mapping(config)
    app.teardown_appcontext(lambda _: session.remove())
    return app
