"""db_session is None until the factory has run."""

from flask import Flask
from sqlalchemy import create_engine
from sqlalchemy.orm import scoped_session, sessionmaker

db_session = None


def create_app(config=None):
    global db_session
    app = Flask(__name__)
    app.config["DATABASE_URI"] = "sqlite:///shop.db"
    app.config.update(config or {})
    db_session = scoped_session(sessionmaker(create_engine(app.config["DATABASE_URI"])))
    app.teardown_appcontext(lambda _: db_session.remove())
    return app
