"""An engine in AUTOCOMMIT, against stale reads and aborted transactions: every flush is for good at once."""

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
    mistake="The engine is in AUTOCOMMIT: a rollback takes nothing back, and there are no savepoints.",
    met="pallets-eco/flask-sqlalchemy#120",
    caught_by=("transactions.rolls-back", "transactions.savepoint-released"),
)

session = scoped_session(new_session)


def create_app(config: Mapping[str, Any]) -> Flask:
    app = make_app(config)
    if not CORRECTED:
        app.extensions["engine"] = create_engine(config["DATABASE_URI"], isolation_level="AUTOCOMMIT")
    app.teardown_appcontext(lambda _: session.remove())
    return app
