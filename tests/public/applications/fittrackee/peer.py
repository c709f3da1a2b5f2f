import os

from flask import Flask


def make(uri: str) -> Flask:
    os.environ["DATABASE_URL"] = uri
    from fittrackee import create_app  # Its settings read the environment on import.

    return create_app()


def session():
    from fittrackee import db

    return db.session
