"""Create the same app, whose view reads one row, with each kind of session.

All use the same kind of engine, so that only the sessions differ.
"""

from collections.abc import Callable
from typing import cast

from flask import Flask
from sqlalchemy import Engine, String
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from app.database import db_session, init_engine
from app.database.engines import make_engine

NAME = "tea"
# The path of a request whose view opens a session and sends no statement.
OPENS = "/opens"
# Each process has a database of its own.
IN_MEMORY = "sqlite://"


class Base(DeclarativeBase):
    """The base class of the model."""


class Item(Base):
    """The row that is read."""

    __tablename__ = "item"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(20))


def fill(engine: Engine) -> None:
    """Create the table and its row, unless they exist."""
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        if session.get(Item, 1) is None:
            session.add(Item(id=1, name=NAME))
            session.commit()


def flask_alone(_uri: str) -> Flask:
    """Create the app without a database."""
    app = Flask("flask_alone")
    app.add_url_rule("/", view_func=lambda: NAME)
    app.add_url_rule(OPENS, endpoint="opens", view_func=lambda: NAME)
    return app


def session_in_view(uri: str) -> Flask:
    """Create the app as the documentation of SQLAlchemy does."""
    app = Flask("session_in_view")
    engine = make_engine(uri)
    fill(engine)

    @app.get("/")
    def read() -> str:
        with Session(engine) as session:
            return session.get_one(Item, 1).name

    @app.get(OPENS)
    def opens() -> str:
        with Session(engine):
            return NAME

    return app


def binding(uri: str) -> Flask:
    """Create the app with the binding of this repository."""
    app = Flask("binding")
    fill(init_engine(uri, app=app))
    app.add_url_rule("/", view_func=lambda: db_session.get_one(Item, 1).name)
    app.add_url_rule(OPENS, endpoint="opens", view_func=lambda: NAME if db_session() else "")
    return app


def flask_sqlalchemy(uri: str) -> Flask:
    """Create the app with Flask-SQLAlchemy."""
    from flask_sqlalchemy import SQLAlchemy  # noqa: PLC0415 - only its own process needs it

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
    """Create the app with Flask-SQLAlchemy-Lite."""
    from flask_sqlalchemy_lite import SQLAlchemy  # noqa: PLC0415 - only its own process needs it

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

CONTENDERS: dict[str, Callable[[str], Flask]] = {
    BINDING: binding,
    SESSION_IN_VIEW: session_in_view,
    FLASK_SQLALCHEMY: flask_sqlalchemy,
    FLASK_SQLALCHEMY_LITE: flask_sqlalchemy_lite,
    FLASK_ALONE: flask_alone,
}
