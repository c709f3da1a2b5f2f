"""Bind as the page "Application Setup" of Flask-SQLAlchemy-Lite does."""

from flask import Flask

from flask_sqlalchemy_lite import SQLAlchemy

db = SQLAlchemy()


def create_app(config):
    app = Flask(__name__)
    app.config.from_mapping(config)
    db.init_app(app)
    return app
