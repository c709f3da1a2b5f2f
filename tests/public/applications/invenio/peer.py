from flask import Flask
from invenio_app.config import APP_DEFAULT_SECURE_HEADERS
from invenio_app.factory import create_app
from invenio_db import db


def make(uri: str) -> Flask:
    # The reproductions send plain HTTP.
    headers = {**APP_DEFAULT_SECURE_HEADERS, "force_https": False}
    return create_app(SQLALCHEMY_DATABASE_URI=uri, APP_DEFAULT_SECURE_HEADERS=headers)


def session():
    return db.session
