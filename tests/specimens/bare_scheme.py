"""A plain engine, and a URI as hosts give it: postgres://, postgresql://, mysql://."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine

from tests.specimens import CORRECTED, Specimen
from tests.specimens.plain import make_app, scoped

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Flask

SPECIMEN = Specimen(
    mistake="SQLAlchemy 2.1 reads bare names as drivers that are not installed, and knows no postgres://.",
    met="jupyterhub/jupyterhub#5275, sqlalchemy/sqlalchemy#5799",
    caught_by=("promises.bare-scheme",),
    backends=("postgresql", "mysql"),
    why_not="Python has one driver to SQLite.",
)

session = scoped()


def create_app(config: Mapping[str, Any]) -> Flask:
    app = make_app(config)
    if not CORRECTED:
        app.extensions["engine"] = create_engine(config["DATABASE_URI"])
    app.teardown_appcontext(lambda _: session.remove())
    return app
