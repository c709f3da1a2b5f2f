"""Plain HTTP is redirected, as Flask-Talisman and Flask-SSLify do."""

from flask import Flask, redirect, request
from flask_sqlalchemy import SQLAlchemy

db = SQLAlchemy()


def create_app(config=None):
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite:///shop.db"
    app.config.update(config or {})
    db.init_app(app)

    @app.before_request
    def https():
        if not request.is_secure and not app.debug:
            return redirect(request.url.replace("http://", "https://", 1), 301)

    return app
