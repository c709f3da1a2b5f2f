"""Books, and their borrowers."""

from flask import Flask

from bookshelf import books, readers
from bookshelf.config import Config
from bookshelf.extensions import db


def create_app(config_class=Config):
    app = Flask(__name__)
    app.config.from_object(config_class)
    db.init_app(app)
    app.register_blueprint(books.blueprint, url_prefix="/books")
    app.register_blueprint(readers.blueprint, url_prefix="/readers")

    @app.cli.command("create-tables")
    def create_tables():
        """Create missing tables."""
        db.create_all()

    return app
