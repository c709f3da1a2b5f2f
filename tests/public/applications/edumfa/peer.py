import tempfile
from pathlib import Path

from flask import Flask
from edumfa.app import create_app
from edumfa.models import db


def make(uri: str) -> Flask:
    file = Path(tempfile.mkdtemp(), "edumfa.cfg")
    lines = [f"SQLALCHEMY_DATABASE_URI = {uri!r}", "SECRET_KEY = 'x' * 32", "EDUMFA_PEPPER = 'x'"]
    file.write_text("\n".join([*lines, "SUPERUSER_REALM = []", ""]), encoding="utf-8")
    return create_app(config_name="production", config_file=str(file), silent=True)


def session():
    return db.session
