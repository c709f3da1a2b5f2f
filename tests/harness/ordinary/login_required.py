"""All pages but two need a login."""

from flask import Flask, redirect, request
from flask_sqlalchemy import SQLAlchemy

db = SQLAlchemy()


def create_app(config=None):
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite:///shop.db"
    app.config.update(config or {})
    db.init_app(app)

    @app.get("/login")
    def login():
        return "log in"

    @app.before_request
    def only_who_is_logged_in():
        if request.endpoint not in {"login", "static"}:
            return redirect("/login")

    return app
