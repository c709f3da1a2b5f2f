"""Its app class wraps each answer in JSON."""

from flask import Flask, Response, json
from flask_sqlalchemy import SQLAlchemy

db = SQLAlchemy()


class Api(Flask):
    def make_response(self, rv):
        if isinstance(rv, (list, dict, str)):
            rv = Response(json.dumps({"data": rv}), mimetype="application/json")
        return super().make_response(rv)


def create_app(config=None):
    app = Api(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite:///shop.db"
    app.config.update(config or {})
    db.init_app(app)
    return app
