from types import SimpleNamespace

from flask import Flask
from zou.app import config, create_app, db


def make(uri: str) -> Flask:
    return create_app(SimpleNamespace(**{**vars(config), "SQLALCHEMY_DATABASE_URI": uri}))


def session():
    return db.session
