from article_management import create_app, db
from article_management.config import Config
from flask import Flask


def make(uri: str) -> Flask:
    return create_app(type("Configuration", (Config,), {"SQLALCHEMY_DATABASE_URI": uri}))


def session():
    return db.session
