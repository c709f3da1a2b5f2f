"""Sources of small apps; each binding is correct unless its name says otherwise."""

BINDING = """
from flask import Flask, current_app
from sqlalchemy import create_engine
from sqlalchemy.orm import Session, scoped_session

db_session = scoped_session(lambda: Session(current_app.extensions["engine"]))


def made(uri, **options):
    app = Flask("shop")
    app.extensions["engine"] = create_engine(uri, **options)
    app.teardown_appcontext(lambda _: db_session.remove())
    return app
"""
FACTORY = f"""{BINDING}

def create_app(config=None):
    return made(config["DATABASE_URI"])
"""
ONE_APP = f"""import os
{BINDING}

app = made(os.environ["DATABASE_URL"])
"""
WITHOUT_REMOVE = FACTORY.replace("db_session.remove()", "None")
"""It never removes its sessions."""
MODELS = """
from sqlalchemy import String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class Book(Base):
    __tablename__ = "book"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(String(60))
"""
FLASK_SQLALCHEMY = """
from flask import Flask
from flask_sqlalchemy import SQLAlchemy

db = SQLAlchemy()


def create_app(config=None):
    app = Flask("shop")
    app.config["SQLALCHEMY_DATABASE_URI"] = config["SQLALCHEMY_DATABASE_URI"]
    db.init_app(app)
    return app
"""
