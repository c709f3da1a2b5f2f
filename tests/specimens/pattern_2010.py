"""The pattern as Dan Jacob published it in 2010: the engine a global, the session made by a lambda."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Flask
from sqlalchemy import create_engine
from sqlalchemy.orm import create_session, scoped_session

from tests.specimens import CORRECTED, Specimen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Engine

SPECIMEN = Specimen(
    mistake="The last engine wins; the session takes no listeners and has create_session's defaults.",
    met="the snippet itself, with the remarks of Amit Matani (2012) and sebastianmarkow (2012)",
    caught_by=(
        "binding.two-apps",
        "promises.several-engines",
        "promises.unbound",
        "promises.listeners",
        "promises.defaults",
    ),
)

engine: Engine | None = None
db_session = scoped_session(lambda: create_session(bind=engine))  # type: ignore[arg-type, var-annotated]


def init_engine(uri: str, *, app: Flask, **kwargs: Any) -> Engine:
    del app  # It knew none.
    global engine  # noqa: PLW0603 - as published
    engine = create_engine(uri, **kwargs)
    return engine


if CORRECTED:
    from app.database import db_session, init_engine
session = db_session


def create_app(config: Mapping[str, Any]) -> Flask:
    app = Flask(__name__)
    app.config.from_mapping(config)
    init_engine(app.config["DATABASE_URI"], app=app)
    return app
