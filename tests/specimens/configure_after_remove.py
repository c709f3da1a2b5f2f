"""The pattern of Donald Curtis (2013): `remove()`, then configure a `sessionmaker` anew."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
import sqlalchemy.orm
from flask import Flask

engine: Any = None
sessionmaker = sa.orm.sessionmaker()
session = sa.orm.scoped_session(sessionmaker)


def configure_engine(url: str) -> None:
    global sessionmaker, engine, session  # noqa: PLW0602, PLW0603 - as published
    engine = sa.create_engine(url)
    session.remove()
    sessionmaker.configure(bind=engine)


def init_engine(uri: str, *, app: Flask) -> Any:
    del app  # The published function took no app.
    configure_engine(uri)
    return engine


def create_app(config: Mapping[str, Any]) -> Flask:
    app = Flask(__name__)
    init_engine(config["DATABASE_URI"], app=app)
    return app
