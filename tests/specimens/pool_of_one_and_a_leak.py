"""A pool of one that is not waited for, "since it is for tests", and sessions that nobody removes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import scoped_session

from app.engines import make_engine
from tests.specimens import CORRECTED, Specimen
from tests.specimens.plain import context, make_app, new_session

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Flask

SPECIMEN = Specimen(
    mistake="Each request keeps its connection for good; with a pool of one, the second request fails.",
    met="pallets-eco/flask-sqlalchemy#339",
    caught_by=("faults.pool-exhausted",),
    takes_long=True,
)

session = scoped_session(new_session, scopefunc=context)


def create_app(config: Mapping[str, Any]) -> Flask:
    app = make_app(config)
    app.extensions["engine"] = make_engine(
        config["DATABASE_URI"], pool_size=1, max_overflow=0, pool_timeout=1
    )
    if CORRECTED:
        app.teardown_appcontext(lambda _: session.remove())
    return app
