from flask import current_app

from app import create_app


def make(uri):
    return create_app({"DATABASE_URI": uri})


def session():
    return current_app.extensions["advanced_alchemy"].get_sync_session()
