"""A plain engine, and a URI as hosts give it: postgres://, postgresql://, mysql://."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Flask
from sqlalchemy import create_engine
from sqlalchemy.orm import scoped_session, sessionmaker

from app.engines import make_engine
from tests.specimens import CORRECTED, Specimen
from tests.specimens.plain import context

if TYPE_CHECKING:
    from collections.abc import Mapping

SPECIMEN = Specimen(
    mistake="SQLAlchemy 2.1 reads bare names as drivers that are not installed, and knows no postgres://.",
    met="jupyterhub/jupyterhub#5275, sqlalchemy/sqlalchemy#5799",
    caught_by=("promises.bare-scheme",),
    backends=("postgresql", "mysql"),
    why_not="Python has one driver to SQLite.",
)

maker = sessionmaker()
session = scoped_session(maker, scopefunc=context)


def create_app(config: Mapping[str, Any]) -> Flask:
    app = Flask("specimen")
    uri = config["DATABASE_URI"]
    maker.configure(bind=make_engine(uri) if CORRECTED else create_engine(uri))

    @app.teardown_appcontext
    def end(_: object) -> None:
        session.remove()

    return app
