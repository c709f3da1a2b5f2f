import importlib
import os

from flask import Flask


def make(uri: str) -> Flask:
    os.environ["SQLALCHEMY_DATABASE_URI"] = uri
    return importlib.import_module("trailblazer.server.app").app


def session():
    return importlib.import_module("trailblazer.store.database").get_session()
