"""A session for each thread, kept from one request to the next, whatever has become of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import scoped_session

from tests.specimens import CORRECTED, Specimen
from tests.specimens.plain import make_app, new_session

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Flask

SPECIMEN = Specimen(
    mistake="Nothing rolls back a request that failed or said nothing: the next on its thread fails too.",
    met="pallets-eco/flask-sqlalchemy#1238, jfinkels/flask-restless#370, chroma-core/chroma#1693",
    caught_by=(
        "faults.swallowed-loss",
        "faults.held-too-long",
        "faults.stopped-mid-query",
        "faults.disk-full",
        "faults.file-full",
    ),
    takes_long=True,
)

session = scoped_session(new_session)


def create_app(config: Mapping[str, Any]) -> Flask:
    app = make_app(config)
    if CORRECTED:
        app.teardown_appcontext(lambda _: session.remove())
    else:
        session.registry.clear()
    return app
