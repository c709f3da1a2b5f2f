from types import SimpleNamespace

from flask import Flask
from spkrepo import create_app
from spkrepo.ext import db


def make(uri: str) -> Flask:
    return create_app(SimpleNamespace(SQLALCHEMY_DATABASE_URI=uri))


def session():
    return db.session
