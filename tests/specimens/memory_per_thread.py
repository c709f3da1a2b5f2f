"""An in-memory database with SQLAlchemy's own pool for it: a connection for each thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine

from tests.specimens import CORRECTED, Specimen
from tests.specimens.plain import make_app, scoped

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Flask

SPECIMEN = Specimen(
    mistake="Each thread has a database of its own: no such table.",
    met="flwrlabs/flower#7148, sqlalchemy/sqlalchemy#8642",
    caught_by=("promises.in-memory",),
    backends=("sqlite",),
    why_not="The others have no database in the process.",
)

session = scoped()


def create_app(config: Mapping[str, Any]) -> Flask:
    app = make_app(config)
    if not CORRECTED:
        app.extensions["engine"] = create_engine(config["DATABASE_URI"])
    app.teardown_appcontext(lambda _: session.remove())
    return app
