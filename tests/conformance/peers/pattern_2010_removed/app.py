"""The published code, with the line of Flask's documentation that ends its sessions."""

from tests.specimens.pattern_2010 import create_app as published
from tests.specimens.pattern_2010 import session as db_session


def create_app(config):
    app = published(config)
    app.teardown_appcontext(lambda error: db_session.remove())
    return app
