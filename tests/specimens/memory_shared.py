"""An in-memory database on one connection, the usual advice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Flask
from sqlalchemy import StaticPool, create_engine
from sqlalchemy.orm import scoped_session, sessionmaker

from app.engines import make_engine
from tests.specimens import CORRECTED, Specimen
from tests.specimens.plain import context

if TYPE_CHECKING:
    from collections.abc import Mapping

SPECIMEN = Specimen(
    mistake="All sessions share one transaction: the rollback of one takes back what another has flushed.",
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
    maker.configure(
        bind=make_engine(uri)
        if CORRECTED
        else create_engine(uri, poolclass=StaticPool, connect_args={"check_same_thread": False})
    )

    @app.teardown_appcontext
    def end(_: object) -> None:
        session.remove()

    return app
