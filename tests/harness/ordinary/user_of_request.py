"""Each request loads a user from a table of the app."""

from flask import Flask, g
from flask_sqlalchemy import SQLAlchemy

db = SQLAlchemy()


class User(db.Model):
    id = db.Column(db.Integer, primary_key=True)


def create_app(config=None):
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite:///shop.db"
    app.config.update(config or {})
    db.init_app(app)

    @app.before_request
    def load():
        g.user = db.session.get(User, 1)

    return app
