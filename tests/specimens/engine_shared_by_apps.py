"""Engines are kept for each URI, to save connections: the app of the next test gets the one of the last."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import scoped_session

from app.engines import make_engine
from tests.specimens import CORRECTED, Specimen
from tests.specimens.plain import make_app, new_session

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Flask
    from sqlalchemy import Engine

SPECIMEN = Specimen(
    mistake="Apps share an engine, and with it connections to a database that is not there any more.",
    met="pallets-eco/flask-sqlalchemy#1171; vulnerability-lookup/vulnerability-lookup#592",
    caught_by=("isolation.worker-holds-on",),
)

session = scoped_session(new_session)


@cache
def engine_of(uri: str) -> Engine:
    return make_engine(uri, pool_pre_ping=False)


def create_app(config: Mapping[str, Any]) -> Flask:
    app = make_app(config)
    if not CORRECTED:
        app.extensions["engine"] = engine_of(config["DATABASE_URI"])
    app.teardown_appcontext(lambda _: session.remove())
    return app
