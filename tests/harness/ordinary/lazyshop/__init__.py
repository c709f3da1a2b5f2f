"""The factory imports a module that can be imported once."""

import os

from flask import Flask
from flask_sqlalchemy import SQLAlchemy

db = SQLAlchemy()
URI = os.environ.get("DATABASE_URL", "sqlite:///shop.db")


def create_app():
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = URI
    db.init_app(app)
    from . import metrics  # noqa: F401 - it registers a counter

    return app
