"""A session made when the app is, and handed to its views."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import Session

from tests.specimens import CORRECTED, Specimen
from tests.specimens.plain import make_app, scoped

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Flask

SPECIMEN = Specimen(
    mistake="All requests share one session: what one of them breaks stays broken until a restart.",
    met="pallets-eco/flask-admin#2953",
    caught_by=("lifecycle.own-session",),
    takes_long=True,
)

session: Any = scoped() if CORRECTED else Session()


def create_app(config: Mapping[str, Any]) -> Flask:
    app = make_app(config)
    if not CORRECTED:
        session.bind = app.extensions["engine"]

    @app.teardown_appcontext
    def end(_: object) -> None:
        (session.remove if CORRECTED else session.close)()

    return app
