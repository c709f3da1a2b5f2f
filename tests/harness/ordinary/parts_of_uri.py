"""The URI is in the environment in parts."""

import os

from flask import Flask
from flask_sqlalchemy import SQLAlchemy

db = SQLAlchemy()


def create_app():
    app = Flask(__name__)
    user, password = os.environ.get("DB_USER", "shop"), os.environ.get("DB_PASSWORD", "secret-password")
    host, name = os.environ.get("DB_HOST", "localhost"), os.environ.get("DB_NAME", "shop")
    app.config["SQLALCHEMY_DATABASE_URI"] = f"postgresql://{user}:{password}@{host}/{name}"
    db.init_app(app)
    return app
