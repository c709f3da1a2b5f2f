from app.database import db_session

from app import create_app


def make(uri):
    return create_app({"DATABASE_URI": uri})


def session():
    return db_session
