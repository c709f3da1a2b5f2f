import os

from flask import Flask
from shopyo.app import create_app

from init import db  # Shopyo imports its own modules by this short name.


def make(uri: str) -> Flask:
    os.environ["SQLALCHEMY_DATABASE_URI"] = uri
    return create_app("production")


def session():
    return db.session
