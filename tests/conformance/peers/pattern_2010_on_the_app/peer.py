from app import create_app, db_session


def make(uri):
    return create_app({"DATABASE_URI": uri})


def session():
    return db_session
