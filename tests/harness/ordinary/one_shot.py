"""The factory works once in a process: it adds a rule to a registered blueprint."""

from flask import Blueprint, Flask
from flask_sqlalchemy import SQLAlchemy

db = SQLAlchemy()
pages = Blueprint("pages", __name__)


def create_app(config=None):
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite:///shop.db"
    app.config.update(config or {})
    db.init_app(app)
    pages.add_url_rule("/", "home", lambda: "home")
    app.register_blueprint(pages)
    return app
