import importlib
import os

from flask import Flask


def make(uri: str) -> Flask:
    os.environ["DB_CONNSTRING"] = uri
    return importlib.import_module("biweeklybudget.flaskapp.app").app


def session():
    return importlib.import_module("biweeklybudget.db").db_session
