from canaille import create_app
from canaille.backends.sql.backend import SQLBackend
from flask import Flask


def make(uri: str) -> Flask:
    settings = {"CANAILLE": {"DATABASE": "sql"}, "CANAILLE_SQL": {"DATABASE_URI": uri}}
    return create_app({"SECRET_KEY": "x" * 32, **settings})


def session():
    return SQLBackend.db_session
