"""The default of a parameter names a settings module, which has other values too."""

from flask import Flask
from flask_sqlalchemy import SQLAlchemy

db = SQLAlchemy()


def create_app(config_object="shop.settings"):
    app = Flask(__name__)
    app.config.from_object(config_object)
    if not app.config["SECRET_KEY"]:
        raise RuntimeError("SECRET_KEY is not set")
    db.init_app(app)
    return app
