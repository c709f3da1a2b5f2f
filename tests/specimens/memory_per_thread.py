"""An in-memory database with SQLAlchemy's own pool for it: a connection for each thread."""

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
    mistake="Each thread has a database of its own: no such table.",
    met="flwrlabs/flower#7148, sqlalchemy/sqlalchemy#8642",
    caught_by=("promises.in-memory",),
    backends=("sqlite",),
    why_not="The others have no database in the process.",
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
