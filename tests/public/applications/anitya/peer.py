from anitya.app import create
from anitya.config import config
from anitya.db import db
from flask import Flask


def make(uri: str) -> Flask:
    return create({**config, "SQLALCHEMY_DATABASE_URI": uri})


def session():
    return db.session
