import os

from apptax.app import create_app
from apptax.database import db
from flask import Flask


def make(uri: str) -> Flask:
    os.environ["TAXHUB_SQLALCHEMY_DATABASE_URI"] = uri
    return create_app()


def session():
    return db.session
