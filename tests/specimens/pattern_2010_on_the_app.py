"""The pattern with its author's later comment: `current_app` finds the engine."""

from collections.abc import Mapping
from typing import Any, cast

from flask import Flask, current_app
from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import create_session, scoped_session


def get_engine() -> Engine:
    return cast("Engine", current_app.engine)  # type: ignore[attr-defined]


db_session = scoped_session(lambda: create_session(bind=get_engine()))  # type: ignore[arg-type, var-annotated]


def init_engine(uri: str, *, app: Flask, **kwargs: Any) -> Engine:
    app.engine = create_engine(uri, **kwargs)  # type: ignore[attr-defined]
    return get_engine()


session = db_session


def create_app(config: Mapping[str, Any]) -> Flask:
    app = Flask(__name__)
    app.config.from_mapping(config)
    with app.app_context():
        init_engine(app.config["DATABASE_URI"], app=app)
    return app
