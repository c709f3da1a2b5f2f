"""An engine that is disposed of, as if that closed all of its connections."""

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
    mistake="What is checked out at that time goes back to a pool that nobody knows, and stays open there.",
    met="vulnerability-lookup/vulnerability-lookup#588",
    caught_by=("promises.dispose",),
    backends=("postgresql", "mysql"),
    why_not="What a file has open, no server counts.",
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
