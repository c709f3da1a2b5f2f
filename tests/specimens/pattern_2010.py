"""The pattern of Dan Jacob (2010): a global engine, and a lambda that makes the session."""

from collections.abc import Mapping
from typing import Any

from flask import Flask
from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import create_session, scoped_session

engine: Engine | None = None
db_session = scoped_session(lambda: create_session(bind=engine))  # type: ignore[arg-type, var-annotated]


def init_engine(uri: str, *, app: Flask, **kwargs: Any) -> Engine:
    del app  # The published function took no app.
    global engine  # noqa: PLW0603 - as published
    engine = create_engine(uri, **kwargs)
    return engine


session = db_session


def create_app(config: Mapping[str, Any]) -> Flask:
    app = Flask(__name__)
    app.config.from_mapping(config)
    init_engine(app.config["DATABASE_URI"], app=app)
    return app
