"""On MySQL every DateTime keeps microseconds."""

from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.ext.compiler import compiles

db = SQLAlchemy()


@compiles(db.DateTime, "mysql")
def with_microseconds(*_, **__):
    return "DATETIME(6)"


def create_app(config=None):
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite:///shop.db"
    app.config.update(config or {})
    db.init_app(app)
    return app
