"""The pattern's other half, from its author's comment: the engine on the app, found by current_app."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from flask import Flask, current_app
from sqlalchemy import create_engine
from sqlalchemy.orm import create_session, scoped_session

from tests.specimens import CORRECTED, Specimen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Engine

SPECIMEN = Specimen(
    mistake="The session is the thread's and outlives its app's context; outside contexts there is none.",
    met="the snippet's own comment: 'attach the database engine to the application'",
    caught_by=("binding.app-inside-app", "promises.outside-contexts", "promises.unwrapped-stream"),
)


def get_engine() -> Engine:
    return cast("Engine", current_app.engine)  # type: ignore[attr-defined]


db_session = scoped_session(lambda: create_session(bind=get_engine()))  # type: ignore[arg-type, var-annotated]


def init_engine(uri: str, *, app: Flask, **kwargs: Any) -> Engine:
    app.engine = create_engine(uri, **kwargs)  # type: ignore[attr-defined]
    return get_engine()


if CORRECTED:
    from app.database import db_session, init_engine
session = db_session


def create_app(config: Mapping[str, Any]) -> Flask:
    app = Flask(__name__)
    app.config.from_mapping(config)
    with app.app_context():
        init_engine(app.config["DATABASE_URI"], app=app)
    return app
