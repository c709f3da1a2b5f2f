"""Forms need a token, as with Flask-WTF, whose setting this is."""

from flask import Flask, abort, request
from flask_sqlalchemy import SQLAlchemy

db = SQLAlchemy()


def create_app(config=None):
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite:///shop.db"
    app.config["SECRET_KEY"] = "x"
    app.config.update(config or {})
    db.init_app(app)

    @app.before_request
    def protect():
        if app.config.get("WTF_CSRF_ENABLED", True) and request.method == "POST":
            abort(400, "The CSRF token is missing.")

    return app
