"""A conftest whose import prepares the developer's own test database."""

import os

os.environ["DATABASE_URL"] = "sqlite:///own_example.db"
from shop import create_app, db
from sqlalchemy import text

app = create_app()
with app.app_context():
    db.session.execute(text("CREATE TABLE IF NOT EXISTS touched (id INTEGER)"))
    db.session.commit()
