"""A page on which all visitors can write."""

import os

from flask import Flask

from guestbook import pages
from guestbook.models import Model, db


def create_app(test_config=None):
    app = Flask(__name__, instance_relative_config=True)
    app.config.from_mapping(SECRET_KEY="dev", SQLALCHEMY_ENGINES={"default": "sqlite:///guestbook.sqlite"})
    if test_config is None:
        app.config.from_pyfile("config.py", silent=True)
    else:
        app.config.from_mapping(test_config)
    os.makedirs(app.instance_path, exist_ok=True)
    db.init_app(app)
    app.register_blueprint(pages.blueprint)

    @app.cli.command("init-db")
    def init_db():
        """Create the tables."""
        Model.metadata.create_all(db.engine)

    return app
