"""The session is a property of `db` that needs a context."""

from flask import Flask, current_app, g
from sqlalchemy import create_engine
from sqlalchemy.orm import Session


class Database:
    @property
    def session(self):
        if "session" not in g:
            g.session = Session(current_app.config["ENGINE"])
        return g.session


db = Database()


def create_app(config=None):
    app = Flask(__name__)
    app.config["DATABASE_URI"] = "sqlite:///shop.db"
    app.config.update(config or {})
    app.config["ENGINE"] = create_engine(app.config["DATABASE_URI"])
    app.teardown_appcontext(lambda _: g.pop("session").close() if "session" in g else None)
    return app
