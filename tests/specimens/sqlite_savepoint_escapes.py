"""SQLite as its driver leaves it: none begins a transaction before a savepoint, so its release commits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine
from sqlalchemy.orm import scoped_session

from tests.specimens import CORRECTED, Specimen
from tests.specimens.plain import make_app, new_session

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Flask

SPECIMEN = Specimen(
    mistake="Nobody sends BEGIN on SQLite: a released savepoint is committed, whatever becomes of the rest.",
    met="new-usemame/Calibre-Web-NextGen#1873",
    caught_by=("transactions.savepoint-released",),
    backends=("sqlite",),
    why_not="The drivers of the others begin a transaction before anything else.",
)

session = scoped_session(new_session)


def create_app(config: Mapping[str, Any]) -> Flask:
    app = make_app(config)
    if not CORRECTED:
        app.extensions["engine"] = create_engine(config["DATABASE_URI"])
    app.teardown_appcontext(lambda _: session.remove())
    return app
