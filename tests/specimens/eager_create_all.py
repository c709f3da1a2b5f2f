"""create_all() in the factory, for convenience."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, Integer, MetaData, Table

from tests.specimens import CORRECTED, Specimen
from tests.specimens.plain import engine, make_app, scoped

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Flask

SPECIMEN = Specimen(
    mistake="The app cannot be made while its database is away, and several workers make its tables at once.",
    met="pallets-eco/flask-sqlalchemy#630, google/timesketch#3263",
    caught_by=("binding.starts-without-its-database",),
)

session = scoped()
metadata = MetaData()
Table("specimen_eager", metadata, Column("id", Integer, primary_key=True))


def create_app(config: Mapping[str, Any]) -> Flask:
    app = make_app(config)
    if CORRECTED:
        app.cli.command("create-tables")(lambda: metadata.create_all(engine()))
    else:
        metadata.create_all(app.extensions["engine"])
    app.teardown_appcontext(lambda _: session.remove())
    return app
