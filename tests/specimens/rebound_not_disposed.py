"""A new engine for an app, and the old one left to itself."""

from __future__ import annotations

from threading import get_ident
from typing import TYPE_CHECKING, Any

from flask import Flask, current_app
from sqlalchemy.orm import Session

from app.engines import make_engine
from tests.specimens import CORRECTED, Specimen
from tests.specimens.plain import context, make_app, scoped

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Engine

SPECIMEN = Specimen(
    mistake="The connections to the old database stay open.",
    met="apache/airflow#65941, pallets-eco/flask-sqlalchemy#1129",
    caught_by=("promises.rebinding-disposes",),
    backends=("postgresql", "mysql"),
    why_not="What a file has open, no server counts.",
)

session = scoped(
    lambda: Session(current_app.extensions["engine"]),
    lambda: context() if current_app else get_ident(),
)


def init_engine(uri: str, *, app: Flask) -> Engine:
    if CORRECTED:
        app.extensions["engine"].dispose()
        session.remove()
    app.extensions["engine"] = make_engine(uri)
    return app.extensions["engine"]  # type: ignore[no-any-return]


def create_app(config: Mapping[str, Any]) -> Flask:
    app = make_app(config)
    app.teardown_appcontext(lambda _: session.remove())
    return app
