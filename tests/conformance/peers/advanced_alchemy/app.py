"""Set up the Flask extension as advanced-alchemy's documentation does, in a factory."""

from advanced_alchemy.extensions.flask import AdvancedAlchemy, SQLAlchemySyncConfig
from flask import Flask


def create_app(config):
    app = Flask(__name__)
    app.config.from_mapping(config)
    alchemy = AdvancedAlchemy(SQLAlchemySyncConfig(connection_string=app.config["DATABASE_URI"]))
    alchemy.init_app(app)
    return app
