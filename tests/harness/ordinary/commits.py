"""A request that succeeds is committed after its view."""

from flask import Flask
from flask_sqlalchemy import SQLAlchemy

db = SQLAlchemy()


def create_app(config=None):
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite:///shop.db"
    app.config.update(config or {})
    db.init_app(app)

    @app.after_request
    def commit(response):
        if response.status_code < 400:
            db.session.commit()
        return response

    return app
