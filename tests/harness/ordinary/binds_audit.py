"""Each request is noted in a second database, which no option names."""

from flask import Flask, request
from flask_sqlalchemy import SQLAlchemy

db = SQLAlchemy()


class Visit(db.Model):
    __bind_key__ = "audit"
    id = db.Column(db.Integer, primary_key=True)
    path = db.Column(db.String(80))


def create_app(config=None):
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite:///shop.db"
    app.config["SQLALCHEMY_BINDS"] = {"audit": "sqlite:///audit_example.db"}
    app.config.update(config or {})
    db.init_app(app)

    @app.before_request
    def note():
        db.session.add(Visit(path=request.path))
        db.session.commit()

    return app
