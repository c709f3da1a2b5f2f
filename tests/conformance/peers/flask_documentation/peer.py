import importlib
import os
import sys


def make(uri):
    os.environ["DATABASE_URL"] = uri
    sys.modules.pop("app", None)
    return importlib.import_module("app").app


def session():
    return sys.modules["app"].db_session
