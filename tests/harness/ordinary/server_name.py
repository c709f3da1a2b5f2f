"""SERVER_NAME is set, and other hosts are refused."""

from flask import Flask
from flask_sqlalchemy import SQLAlchemy

db = SQLAlchemy()


def create_app(config=None):
    app = Flask(__name__, subdomain_matching=True)
    app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite:///shop.db"
    app.config.update(
        SERVER_NAME="shop.example:5000",
        PREFERRED_URL_SCHEME="https",
        TRUSTED_HOSTS=["shop.example:5000", "shop.example"],
    )
    app.config.update(config or {})
    db.init_app(app)
    return app
