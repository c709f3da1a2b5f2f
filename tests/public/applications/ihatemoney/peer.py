from flask import Flask
from ihatemoney.models import db
from ihatemoney.run import create_app


def make(uri: str) -> Flask:
    return create_app(type("Configuration", (), {"SQLALCHEMY_DATABASE_URI": uri}))


def session():
    return db.session
