"""A scoped session that nobody removes: the first thing that is forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.specimens import CORRECTED, Specimen
from tests.specimens.plain import make_app, scoped

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Flask

SPECIMEN = Specimen(
    mistake="Nothing ends the session: its thread keeps it, and its transaction.",
    met="pallets-eco/flask-sqlalchemy#339, #531",
    caught_by=("lifecycle.request-ends",),
)

session = scoped(scope=None)


def create_app(config: Mapping[str, Any]) -> Flask:
    app = make_app(config)
    if CORRECTED:

        @app.teardown_appcontext
        def end(_: object) -> None:
            session.remove()

    return app
