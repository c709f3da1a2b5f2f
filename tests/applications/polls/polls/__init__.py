"""Questions and votes."""

from flask import Flask

from polls import db, views


def create_app(config_filename="polls.cfg"):
    app = Flask(__name__, instance_relative_config=True)
    app.config.from_mapping(DATABASE_URL="sqlite:///polls.db")
    app.config.from_pyfile(config_filename, silent=True)
    db.init_app(app)
    app.register_blueprint(views.blueprint)
    return app
