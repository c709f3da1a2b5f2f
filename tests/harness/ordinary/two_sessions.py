"""An app with one scoped session for writing and one for reading."""

from flask import Flask
from sqlalchemy import create_engine
from sqlalchemy.orm import scoped_session, sessionmaker

writing, reading = scoped_session(sessionmaker()), scoped_session(sessionmaker())


def create_app(config=None):
    app = Flask(__name__)
    app.config["DATABASE_URI"] = "sqlite:///shop.db"
    app.config.update(config or {})
    for session in (writing, reading):
        session.configure(bind=create_engine(app.config["DATABASE_URI"]))
        app.teardown_appcontext(lambda _, session=session: session.remove())
    return app
