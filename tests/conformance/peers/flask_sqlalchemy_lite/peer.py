from app import create_app, db


def make(uri):
    return create_app({"SQLALCHEMY_ENGINES": {"default": uri}})


def session():
    return db.session
