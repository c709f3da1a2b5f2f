from chanjo_report.server.app import create_app
from chanjo_report.server.extensions import api
from flask import Flask


def make(uri: str) -> Flask:
    return create_app(type("Configuration", (), {"SQLALCHEMY_DATABASE_URI": uri, "DEBUG": False}))


def session():
    return api.session
