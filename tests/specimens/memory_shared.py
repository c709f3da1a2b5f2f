"""An in-memory database on one connection, the usual advice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import StaticPool, create_engine

from tests.specimens import CORRECTED, Specimen
from tests.specimens.plain import make_app, scoped

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Flask

SPECIMEN = Specimen(
    mistake="All sessions share one transaction: the rollback of one takes back what another has flushed.",
    met="flwrlabs/flower#7148, sqlalchemy/sqlalchemy#8642",
    caught_by=("promises.in-memory",),
    backends=("sqlite",),
    why_not="The others have no database in the process.",
)

session = scoped()


def create_app(config: Mapping[str, Any]) -> Flask:
    app = make_app(config)
    if not CORRECTED:
        app.extensions["engine"] = create_engine(
            config["DATABASE_URI"], poolclass=StaticPool, connect_args={"check_same_thread": False}
        )
    app.teardown_appcontext(lambda _: session.remove())
    return app
