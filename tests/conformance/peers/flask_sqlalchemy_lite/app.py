"""As the documentation of Flask-SQLAlchemy-Lite has it under "Application Setup"."""

from flask import Flask

from flask_sqlalchemy_lite import SQLAlchemy

db = SQLAlchemy()


def create_app(config):
    app = Flask(__name__)
    app.config.from_mapping(config)
    db.init_app(app)
    return app
