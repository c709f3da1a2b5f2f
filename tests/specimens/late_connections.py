"""An engine that is disposed of, as if that closed all of its connections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine

from tests.specimens import CORRECTED, Specimen
from tests.specimens.plain import make_app, scoped

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Flask

SPECIMEN = Specimen(
    mistake="What is checked out at that time goes back to a pool that nobody knows, and stays open there.",
    met="vulnerability-lookup/vulnerability-lookup#588",
    caught_by=("promises.dispose",),
    backends=("postgresql", "mysql"),
    why_not="What a file has open, no server counts.",
)

session = scoped()


def create_app(config: Mapping[str, Any]) -> Flask:
    app = make_app(config)
    if not CORRECTED:
        app.extensions["engine"] = create_engine(config["DATABASE_URI"])
    app.teardown_appcontext(lambda _: session.remove())
    return app
