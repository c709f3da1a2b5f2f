from app import create_app, db


def make(uri):
    return create_app({"SQLALCHEMY_DATABASE_URI": uri})


def session():
    return db.session
