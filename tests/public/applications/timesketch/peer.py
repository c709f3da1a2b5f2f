from flask import Flask
from timesketch.app import create_app
from timesketch.models import db_session


def make(uri: str) -> Flask:
    settings = {"SQLALCHEMY_DATABASE_URI": uri, "SECRET_KEY": "x" * 32, "UPLOAD_ENABLED": False}
    return create_app(type("Settings", (), settings))


def session():
    return db_session
