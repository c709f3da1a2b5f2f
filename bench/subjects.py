"""The same app, whose one view reads one row, with each way to come by a session.

All talk to the database through the same kind of engine, so that what differs is the session alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from flask import Flask
from sqlalchemy import String
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from app.database import db_session, init_engine
from app.database.engines import make_engine

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine

NAME = "tea"
# SQLite in memory: each process fills its own.
IN_MEMORY = "sqlite://"


class Base(DeclarativeBase):
    """Of the one table."""


class Item(Base):
    """The row that is read."""

    __tablename__ = "item"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(20))


def fill(engine: Engine) -> None:
    """Makes the table and its one row, unless they are there."""
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        if session.get(Item, 1) is None:
            session.add(Item(id=1, name=NAME))
            session.commit()


def flask_alone(_uri: str) -> Flask:
    """Without any database."""
    app = Flask("flask_alone")
    app.add_url_rule("/", view_func=lambda: NAME)
    return app


def session_in_view(uri: str) -> Flask:
    """What SQLAlchemy itself shows."""
    app = Flask("session_in_view")
    engine = make_engine(uri)
    fill(engine)

    @app.get("/")
    def read() -> str:
        with Session(engine) as session:
            return session.get_one(Item, 1).name

    return app


def binding(uri: str) -> Flask:
    """What this repository does."""
    app = Flask("binding")
    fill(init_engine(uri, app=app))
    app.add_url_rule("/", view_func=lambda: db_session.get_one(Item, 1).name)
    return app


def flask_sqlalchemy(uri: str) -> Flask:
    """Flask-SQLAlchemy."""
    from flask_sqlalchemy import SQLAlchemy  # noqa: PLC0415 - its process has no other

    app = Flask("flask_sqlalchemy")
    app.config["SQLALCHEMY_DATABASE_URI"] = IN_MEMORY
    db = SQLAlchemy(app, model_class=Base)
    engine = make_engine(uri)
    fill(engine)
    with app.app_context():
        cast("dict[str | None, Engine]", db.engines)[None] = engine
    app.add_url_rule("/", view_func=lambda: db.session.get_one(Item, 1).name)
    return app


def flask_sqlalchemy_lite(uri: str) -> Flask:
    """Flask-SQLAlchemy-Lite."""
    from flask_sqlalchemy_lite import SQLAlchemy  # noqa: PLC0415 - its process has no other

    app = Flask("flask_sqlalchemy_lite")
    app.config["SQLALCHEMY_ENGINES"] = {"default": IN_MEMORY}
    db = SQLAlchemy(app)
    engine = make_engine(uri)
    fill(engine)
    with app.app_context():
        db.sessionmaker.configure(bind=engine)
    app.add_url_rule("/", view_func=lambda: db.session.get_one(Item, 1).name)
    return app


BINDING = "app/database"
FLASK_ALONE = "Flask alone"
SESSION_IN_VIEW = "with Session(engine)"
FLASK_SQLALCHEMY = "Flask-SQLAlchemy"
FLASK_SQLALCHEMY_LITE = "Flask-SQLAlchemy-Lite"

SUBJECTS: dict[str, Callable[[str], Flask]] = {
    BINDING: binding,
    SESSION_IN_VIEW: session_in_view,
    FLASK_SQLALCHEMY: flask_sqlalchemy,
    FLASK_SQLALCHEMY_LITE: flask_sqlalchemy_lite,
    FLASK_ALONE: flask_alone,
}
